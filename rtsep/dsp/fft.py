"""Real FFTs of many rows at once with FFTW: planned once, buffers aligned and reused, one thread.

Plans are measured (`FFTW_MEASURE`), which takes a fraction of a second; the result ("wisdom") is kept
in the user's cache folder, so only the first process on a machine needs that time.
"""

import contextlib
import platform
from pathlib import Path

import numpy as np
import platformdirs
import pyfftw
from numpy.typing import NDArray

from rtsep.errors import RtsepError
from rtsep.files import write_atomically

_imported = False


def wisdom_path() -> Path:
    """Return the file in which this user's single-precision FFTW wisdom is kept."""
    name = f"fftw-f32-{platform.machine()}-pyfftw{pyfftw.__version__}.wisdom"
    return Path(platformdirs.user_cache_dir("rtsep")) / name


def _import_wisdom() -> None:
    """Read the wisdom file once a process; a missing, unreadable or damaged one is ignored."""
    global _imported
    if not _imported:
        _imported = True
        with contextlib.suppress(OSError, ValueError):
            pyfftw.import_wisdom((b"", wisdom_path().read_bytes(), b""))


def _export_wisdom() -> None:
    """Replace the wisdom file in one step, so that another process never reads half of it; no cache is no error."""
    with contextlib.suppress(RtsepError):
        write_atomically(wisdom_path(), pyfftw.export_wisdom()[1])


class RealFFT:
    """A pair of plans between `time` float32 (rows, n_fft) and `spectrum` complex64 (rows, n_fft // 2 + 1).

    Fill one buffer in place, call the transform, read the other. Nothing is allocated by a transform.
    """

    def __init__(self, rows: int, n_fft: int) -> None:
        if rows < 1 or n_fft < 2 or n_fft % 2:
            raise ValueError(f"expected rows >= 1 and an even n_fft, got {rows} and {n_fft}")
        self.time: NDArray[np.float32] = pyfftw.empty_aligned((rows, n_fft), np.float32)
        self.spectrum: NDArray[np.complex64] = pyfftw.empty_aligned((rows, n_fft // 2 + 1), np.complex64)
        _import_wisdom()
        before = pyfftw.export_wisdom()[1]
        options = {"axes": (1,), "flags": ("FFTW_MEASURE",), "threads": 1}
        self._forward = pyfftw.FFTW(self.time, self.spectrum, **options)
        self._inverse = pyfftw.FFTW(self.spectrum, self.time, direction="FFTW_BACKWARD", **options)
        if pyfftw.export_wisdom()[1] != before:
            _export_wisdom()
        self._scale = np.float32(1.0 / n_fft)
        self.time[:] = 0.0  # measuring has overwritten both
        self.spectrum[:] = 0.0

    def forward(self) -> None:
        """Transform `time` into `spectrum`; `time` is kept."""
        self._forward.execute()

    def inverse(self) -> None:
        """Transform `spectrum` into `time`, scaled so that it undoes `forward`; `spectrum` is destroyed."""
        self._inverse.execute()
        np.multiply(self.time, self._scale, out=self.time)
