"""Shared memory without a name, for a child process to attach to; one implementation for each operating system.

Without a name nothing is left behind, whichever process dies first, and nothing has to be tracked
(`multiprocessing.shared_memory` on Python 3.11 unlinks a segment when any attached process dies).
The descriptor goes to the child by inheritance: ``subprocess.Popen(..., pass_fds=[block.fd])`` on POSIX,
``startupinfo.lpAttributeList = {"handle_list": [block.fd]}`` on Windows.
"""

import contextlib
import mmap
import os
import secrets
import sys
from typing import Self

from rtsep.errors import RtsepError
from rtsep.shared import memory_win32


class SharedBlock:
    """A zeroed, page-aligned block of memory that another process can attach to.

    Attributes:
        fd: the POSIX file descriptor, or on Windows the section handle, to hand to the child.
        nbytes: its size.
        buffer: a writable memoryview of it. Arrays made over it keep the memory alive after `close`.
    """

    def __init__(self, fd: int, nbytes: int, mapping: mmap.mmap | memoryview) -> None:
        self.fd = fd
        self.nbytes = nbytes
        self._mapping: mmap.mmap | memoryview | None = mapping
        self.buffer = memoryview(mapping)

    @classmethod
    def create(cls, nbytes: int) -> Self:
        """Make a new block of `nbytes` (at least 1). RtsepError if the system doesn't give so much."""
        if nbytes < 1:
            raise ValueError(f"a shared block needs at least one byte, got {nbytes}")
        try:
            if sys.platform == "win32":
                handle = memory_win32.create_section(nbytes)
                return cls(handle, nbytes, memory_win32.map_section(handle, nbytes))
            fd = _nameless_file()
            try:
                os.ftruncate(fd, nbytes)
                if hasattr(os, "posix_fallocate"):  # what isn't there now would be missed at a store, by SIGBUS
                    os.posix_fallocate(fd, 0, nbytes)
                return cls(fd, nbytes, _map(fd, nbytes))
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise RtsepError(
                f"shared memory: {-(-nbytes >> 20)} MiB needed, and the system refuses ({error.strerror or error}); "
                "free memory, or allow more: ulimit -f unlimited, docker run --shm-size=64m"
            ) from error

    @classmethod
    def attach(cls, fd: int, nbytes: int) -> Self:
        """Map the block behind an inherited `fd`, which then belongs to this object."""
        if sys.platform == "win32":
            return cls(fd, nbytes, memory_win32.map_section(fd, nbytes))
        size = os.fstat(fd).st_size
        if size < nbytes:  # touching a page beyond the end would kill the process, so refuse now
            raise ValueError(f"shared block holds {size} bytes, {nbytes} expected")
        return cls(fd, nbytes, _map(fd, nbytes))

    def close(self) -> None:
        """Close the descriptor and the mapping; memory that arrays still use is freed with them. Idempotent."""
        if self._mapping is None:
            return
        mapping, self._mapping = self._mapping, None
        self.buffer.release()
        if isinstance(mapping, mmap.mmap):
            try:
                mapping.close()
            except BufferError:
                pass  # arrays still use it: unmapping now would leave them pointing at nothing
            os.close(self.fd)
        else:
            memory_win32.close_section(self.fd)


def _nameless_file() -> int:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # some sandboxes forbid it
            return os.memfd_create("rtsep", os.MFD_CLOEXEC)
    # macOS and other POSIX systems: a named object whose name is gone before anybody else can use it.
    import _posixshmem  # type: ignore[import-not-found]

    name = f"/rtsep-{secrets.token_hex(8)}"  # macOS allows 31 characters
    fd = _posixshmem.shm_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode=0o600)
    _posixshmem.shm_unlink(name)
    return fd


def _map(fd: int, nbytes: int) -> mmap.mmap:
    # Populated at once: the audio callback must not be the first to touch a page and wait for the kernel.
    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    mapping = mmap.mmap(fd, nbytes, flags, mmap.PROT_READ | mmap.PROT_WRITE)
    if not hasattr(mmap, "MAP_POPULATE"):
        for page in range(0, nbytes, mmap.PAGESIZE):
            mapping[page]
    return mapping
