"""One place for the flags every compiled kernel is built with.

* ``error_model="numpy"``: a division never raises, so no kernel needs a way to report an exception.
* ``boundscheck=False``: the same for indexing; callers check shapes before they enter a kernel.
* ``_nrt=False``: without numba's reference counting a kernel cannot own memory, so one that would allocate does
  not compile. (The leading underscore is numba's; a test on the machine code stands behind it.)
* ``forceinline=True``: kernels that call kernels become one function. Only then does the compiler see that nothing
  in the audio callback can fail, and drops the branch that would take the GIL to report it.
* ``nogil=True``: a decoder thread that copies a block does not hold up the others.
* ``cache=True``: a process that starts (a restarted worker, say) loads machine code, it does not compile for seconds.
* explicit signatures: the code exists when the import returns, never first in the middle of the sound.

``fastmath`` stays off: results must not depend on how a block was cut.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import njit, types

F = TypeVar("F", bound=Callable[..., Any])

INT64_LINE = types.Array(types.int64, 1, "C")
FLOAT32_LINE = types.Array(types.float32, 1, "C")
FLOAT64_LINE = types.Array(types.float64, 1, "C")
FLOAT32_ROWS = types.Array(types.float32, 2, "C")
# "A" takes any strides, so a slice of a larger array needs no copy; readonly takes writable arrays too.
FLOAT32_VIEW = types.Array(types.float32, 2, "A")
FLOAT32_INPUT = types.Array(types.float32, 2, "A", readonly=True)

FLAGS = {"nogil": True, "error_model": "numpy", "boundscheck": False, "_nrt": False}


def compiled_sources() -> dict[str, bytes]:
    """Every file of the package that has kernels, and those that it imports, whose constants are compiled into them.

    Returns a mapping from the path below the package to the content, in order of path. Empty when the package was
    imported from a zip file, which has no cache either.
    """
    package = Path(__file__).parents[1]
    contents = {path.relative_to(package).as_posix(): path.read_bytes() for path in package.rglob("*.py")}
    found = {path for path, content in contents.items() if _USES_KERNELS.search(content)}
    for path in list(found):
        for module, names in _IMPORTS.findall(contents[path]):
            place = module.decode().replace(".", "/")
            inside = [f"{place}/{name}.py" for name in names.decode().split(", ")]  # `from rtsep.shared import status`
            found.update(candidate for candidate in (f"{place}.py", *inside) if candidate in contents)
    return {path: contents[path] for path in sorted(found)}


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path, content in compiled_sources().items():
        digest.update(path.encode() + content)
    return digest.hexdigest()[:12]


_USES_KERNELS = re.compile(rb"^(?:from|import) +(?:numba\b|rtsep\.shared\.compiled\b)", re.M)
_IMPORTS = re.compile(rb"^from rtsep\.([\w.]+) import \(?([\w, ]*)", re.M)
_FINGERPRINT = _fingerprint()


def named_after_sources(function: F) -> F:
    """Make the name, and with it the cache file, of a compiled function depend on all sources with kernels.

    Numba looks only at the file a function stands in, but kernels are compiled into those of other files: after a
    change in rings.py the audio callback would go on with the old ring from the cache.
    """
    function.__qualname__ = f"{function.__qualname__}_{_FINGERPRINT}"
    return function


def kernel(signature: Any) -> Callable[[F], F]:
    """Return a decorator that compiles a function for `signature` with the flags above."""

    def compile_now(function: F) -> F:
        compiled: Any = njit(signature, cache=True, forceinline=True, **FLAGS)(named_after_sources(function))
        return compiled

    return compile_now
