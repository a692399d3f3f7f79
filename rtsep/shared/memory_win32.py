"""The Windows half of `memory`: a page-file section without a name, its handle inheritable.

Written from the documentation of CreateFileMapping and MapViewOfFile; not yet run on Windows.
"""

import ctypes
from typing import Any

_PAGE_READWRITE = 0x04
_FILE_MAP_ALL_ACCESS = 0x000F001F


class _SecurityAttributes(ctypes.Structure):
    _fields_ = [
        ("length", ctypes.c_uint32),
        ("descriptor", ctypes.c_void_p),
        ("inherit_handle", ctypes.c_int32),
    ]


def _kernel32() -> Any:
    library = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    library.CreateFileMappingW.restype = ctypes.c_void_p
    library.CreateFileMappingW.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_wchar_p,
    ]
    library.MapViewOfFile.restype = ctypes.c_void_p
    library.MapViewOfFile.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_size_t,
    ]
    library.CloseHandle.argtypes = [ctypes.c_void_p]
    return library


def _check(value: int | None, what: str) -> int:
    if not value:
        raise ctypes.WinError(ctypes.get_last_error(), what)  # type: ignore[attr-defined]
    return value


def create_section(nbytes: int) -> int:
    """Return the handle of a new zeroed section that child processes may inherit."""
    attributes = _SecurityAttributes(ctypes.sizeof(_SecurityAttributes), None, 1)
    handle = _kernel32().CreateFileMappingW(
        ctypes.c_void_p(-1),
        ctypes.byref(attributes),
        _PAGE_READWRITE,
        nbytes >> 32,
        nbytes & 0xFFFFFFFF,
        None,
    )
    return _check(handle, "CreateFileMapping")


def map_section(handle: int, nbytes: int) -> memoryview:
    """Map the section and return it as bytes.

    The view stays mapped until the process ends (a shared state lives as long as its player), so arrays over it
    can never point at nothing.
    """
    address = _check(_kernel32().MapViewOfFile(handle, _FILE_MAP_ALL_ACCESS, 0, 0, nbytes), "MapViewOfFile")
    return memoryview((ctypes.c_ubyte * nbytes).from_address(address)).cast("B")


def close_section(handle: int) -> None:
    """Close the handle; views already mapped stay valid."""
    _kernel32().CloseHandle(handle)
