"""The pages of an Ogg file: its links (streams one after the other, as recordings of radio have) and what is damaged.

Source: RFC 3533.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

_HEADER = struct.Struct("<4sBBqIIIB")
_FIRST, _LAST = 2, 4
_WINDOW = 1 << 20
_LARGEST_PAGE = 27 + 255 + 255 * 255
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Page(NamedTuple):
    """A whole page: offset and size in bytes, flags, number of its stream, number within it."""

    offset: int
    size: int
    flags: int
    serial: int
    number: int


@dataclass
class Link:
    """Bytes [begin, end) of one stream. `is_damaged`: pages are missing; `is_cut`: it does not end with a last page."""

    begin: int
    end: int
    is_damaged: bool = False
    is_cut: bool = True


def ogg_links(file: BinaryIO) -> list[Link]:
    """The links of an Ogg file. Every page is checked, so the whole file is read. Moves in the file.

    Streams side by side (a video's sound and picture) are one link.
    """
    links: list[Link] = []
    numbers: dict[int, int] = {}  # of the last page of each stream
    unended: set[int] = set()
    position = 0
    is_beginning = False  # of a link: first pages of all its streams come before any other
    for page in _pages(file):
        is_first = bool(page.flags & _FIRST)
        if is_first and not is_beginning:
            links.append(Link(page.offset, page.offset))
            numbers.clear()
            unended.clear()
        if not links:
            continue
        is_beginning = is_first
        link = links[-1]
        is_next = page.number == numbers.get(page.serial, page.number - 1) + 1
        link.is_damaged |= not is_next or (page.offset != position and link.end > link.begin)
        numbers[page.serial] = page.number
        (unended.discard if page.flags & _LAST else unended.add)(page.serial)
        link.is_cut = bool(unended)
        link.end = position = page.offset + page.size
    if links and links[-1].is_cut:  # with what is left of the next page
        links[-1].end = file.seek(0, os.SEEK_END)
    return links


def _pages(file: BinaryIO) -> Iterator[Page]:
    """The pages whose checksum is right, in order."""
    file.seek(0)
    window, begin, at = b"", 0, 0
    ended = False
    while True:
        if not ended and len(window) - at < _LARGEST_PAGE:
            more = file.read(_WINDOW)
            ended = not more
            window, begin, at = window[at:] + more, begin + at, 0
        at = window.find(b"OggS", at)
        if at < 0 or at + _HEADER.size > len(window):
            if ended:
                return
            at = max(len(window) - _HEADER.size, 0)
            continue
        _, version, flags, _, serial, number, checksum, segments = _HEADER.unpack_from(window, at)
        body = at + _HEADER.size + segments
        size = body - at + sum(window[at + _HEADER.size : body])
        if at + size > len(window) and not ended:
            more = file.read(_WINDOW)
            ended = not more
            window, begin, at = window[at:] + more, begin + at, 0
            continue
        page = window[at : at + size]
        if version == 0 and len(page) == size and _checksum(page[:22] + bytes(4) + page[26:]) == checksum:
            yield Page(begin + at, size, flags, serial, number)
            at += size
        else:
            at += 4


def _checksum(data: bytes) -> int:
    """Ogg's CRC: that of zlib with the bits of every byte, and of the result, the other way round."""
    value = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(value.to_bytes(4, "little").translate(_REVERSED), "big")
