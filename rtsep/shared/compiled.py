"""How kernels are compiled: one set of flags, one cache of machine code on disk.

* ``error_model="numpy"``: a division never raises, so no kernel needs a way to report an exception.
* ``boundscheck=False``: the same for indexing; callers check shapes before they enter a kernel.
* ``_nrt=False``: without numba's reference counting a kernel can't own memory, so one that would allocate doesn't
  compile. (The leading underscore is numba's; a test on the machine code backs it up.)
* ``forceinline=True``: kernels that call kernels become one function. Only then does the compiler see that nothing
  in the audio callback can fail, and drops the branch that would take the GIL to report it.
* ``nogil=True``: a decoder thread that copies a block doesn't hold up the others.
* ``cache=True``: a new process (a restarted worker, say) loads machine code instead of compiling for seconds. Where
  neither the package nor the user's cache can be written, the cache is a private folder for temporary files.
* explicit signatures: the code exists when the import returns, not first in the middle of the sound.

``fastmath`` stays off: results must not depend on how a block was cut.
"""

import hashlib
import logging
import os
import re
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import cfunc, njit, types
from numba.core import config as numba_config
from numba.core.errors import NumbaError

F = TypeVar("F", bound=Callable[..., Any])

INT64_LINE = types.Array(types.int64, 1, "C")
FLOAT32_LINE = types.Array(types.float32, 1, "C")
FLOAT64_LINE = types.Array(types.float64, 1, "C")
FLOAT32_ROWS = types.Array(types.float32, 2, "C")
# "A" takes any strides, so a slice of a larger array needs no copy; readonly takes writable arrays too.
FLOAT32_VIEW = types.Array(types.float32, 2, "A")
FLOAT32_INPUT = types.Array(types.float32, 2, "A", readonly=True)

FLAGS = {"nogil": True, "error_model": "numpy", "boundscheck": False, "_nrt": False}
NO_CACHE = "every start compiles for about half a minute; set NUMBA_CACHE_DIR to a writable folder to avoid this"


def compiled_sources() -> dict[str, bytes]:
    """Every file of the package that has kernels, and all that they import, whose constants are compiled into them.

    Returns a mapping from the path below the package to the content, in order of path. Empty when the package was
    imported from a zip file, which has no cache either.
    """
    package = str(Path(__file__).parents[1])
    contents: dict[str, bytes] = {}
    for folder, _, names in os.walk(package):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    contents[os.path.relpath(path, package).replace(os.sep, "/")] = file.read()
    # The first test is the fast one.
    waiting = [path for path, content in contents.items() if b"numba" in content or b"compiled" in content]
    waiting = [path for path in waiting if _USES_KERNELS.search(contents[path])]
    found = set(waiting)
    while waiting:
        for module, several, one in _IMPORTS.findall(contents[waiting.pop()]):
            place = module.decode().replace(".", "/").strip("/")
            names = re.findall(r"\w+", (several or one).decode())
            # A name may be a module itself: `from rtsep.shared import status`.
            for candidate in (f"{place}.py", *(f"{place}/{name}.py".strip("/") for name in names)):
                if candidate in contents and candidate not in found:
                    found.add(candidate)
                    waiting.append(candidate)
    return {path: contents[path] for path in sorted(found)}


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path, content in compiled_sources().items():
        digest.update(path.encode() + content)
    return digest.hexdigest()[:12]


_USES_KERNELS = re.compile(rb"^(?:from|import) +(?:numba\b|rtsep\.shared\.compiled\b)", re.M)
_IMPORTS = re.compile(rb"^from +rtsep((?:\.\w+)*) +import +(?:\(([^)]*)\)|(.*))", re.M)
_FINGERPRINT = _fingerprint()


def _name_after_sources(function: Callable[..., Any]) -> None:
    """Make the name, and with it the cache file, of a compiled function depend on all sources with kernels.

    Numba looks only at the file a function stands in, but kernels are compiled into those of other files: after a
    change in rings.py the audio callback would be loaded from the cache with the old ring.
    """
    function.__qualname__ = f"{function.__qualname__}_{_FINGERPRINT}"


def kernel(signature: Any, **options: Any) -> Callable[[F], F]:
    """Return a decorator that compiles a function for `signature`; `options` of numba's njit add to the flags above."""
    flags: dict[str, Any] = {"forceinline": True, **FLAGS, **options}
    return _compiler(lambda cache: njit(signature, cache=cache, **flags))


def c_callback(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function with the C calling convention; see numba's cfunc."""
    return _compiler(lambda cache: cfunc(signature, cache=cache, **FLAGS))


# -- the cache on disk ---------------------------------------------------------------------------------------

_cache_is_usable = True
_numba: Any = numba_config  # its settings are made at run time, so type checkers don't know them


def _compiler(decorator: Callable[[bool], Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def compile_now(function: Any) -> Any:
        _name_after_sources(function)
        while _cache_is_usable:
            try:
                return decorator(True)(function)
            except NumbaError:  # the function doesn't compile, cached or not
                raise
            except Exception as error:  # no writable folder, a full disk, a damaged file: whatever a cache may suffer
                _move_cache(error)
        return decorator(False)(function)

    return compile_now


def _move_cache(error: Exception) -> None:
    """Use the temporary folder from now on, and no cache at all if that was in use or can't be; say so in the log."""
    global _cache_is_usable
    folder = _temporary_cache()
    log = logging.getLogger("rtsep")
    log.debug("machine code can't be cached", exc_info=error)
    if folder is None or folder == _numba.CACHE_DIR:
        _cache_is_usable = False
        log.warning("rtsep: no cache for compiled code can be used (%s): %s", _reason(error), NO_CACHE)
    else:
        _numba.CACHE_DIR = folder
        log.warning("rtsep: the cache for compiled code can't be used (%s); using %s", _reason(error), folder)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "no writable folder" if "no locator available" in str(error) else f"damaged: {type(error).__name__}"


def _temporary_cache() -> str | None:
    """A folder for machine code that only this user can write, the same for every process of theirs; None if none."""
    try:
        folder = Path(tempfile.gettempdir()) / f"rtsep-compiled-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except OSError:
        return None
    # Others may write to the folder around it: code of theirs must not be run.
    own = not hasattr(os, "getuid") or (about.st_uid == os.getuid() and not about.st_mode & 0o077)
    return str(folder) if stat.S_ISDIR(about.st_mode) and own else None
