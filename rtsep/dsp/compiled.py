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


def _fingerprint() -> str:
    package = Path(__file__).parents[1]
    sources = [*sorted((package / "dsp").glob("*.py")), *sorted((package / "audio").glob("*.py"))]
    digest = hashlib.sha256()
    for source in sources:
        if source.exists():  # not when imported from a zip file, which then has no cache either
            digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


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
