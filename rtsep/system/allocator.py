"""The C library's allocator, for processes that allocate large tensors again and again."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of mallopt(3)
_KEPT_BYTES = 2**31 - 1
_GROWTH_BYTES = 2**26


def keep_freed_memory() -> bool:
    """Reuse freed memory for later allocations; returns whether the C library does (glibc only).

    By default it gets large blocks from the kernel, which clears them page by page, and returns them when they are
    freed: a fifth of the time of Spleeter's U-net, and of a training step. Now the process keeps the most memory that
    it ever needed until it ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _KEPT_BYTES, _TOP_PAD: _GROWTH_BYTES}
    return all(mallopt(name, value) == 1 for name, value in settings.items())
