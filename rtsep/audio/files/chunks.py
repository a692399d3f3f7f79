"""The sound chunk of uncompressed files: where WAV, RF64, W64, AIFF, AU and CAF keep it and which size they state."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_IN_DS64 = 2**32 - 1  # stands for a 32-bit size: the real one is in the ds64 chunk, or unknown
# Sizes that programs write when they cannot know better: ffmpeg and sox into a pipe.
_OPEN_SIZES = (0xFFFFFFFF, 0x7FFFF000)
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


@dataclass(frozen=True)
class SoundChunk:
    """How much sound a header states and how much there is, in bytes.

    `stated` is None where the header leaves the size open, and 0 with `present` > 0 where a recorder never came back to
    fill it in. `patches` (offset -> bytes) make a header that libsndfile believes.
    """

    stated: int | None
    present: int
    patches: dict[int, bytes]

    @property
    def is_cut(self) -> bool:
        """Whether the file ends before its sound does; a few bytes are padding."""
        return self.stated is not None and self.stated > self.present + 64

    @property
    def is_unfinished(self) -> bool:
        """Whether there is sound although the header states none."""
        return self.stated == 0 < self.present


def sound_chunk(file: BinaryIO) -> SoundChunk | None:
    """The sound chunk of a file; None if it is of another kind or has none. Moves in the file."""
    end = file.seek(0, os.SEEK_END)
    head = _at(file, 0, 24)
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _wave(file, end)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(file, end)
    if head[:4] == b".snd" and len(head) == 24:
        return _au(head, end)
    if head[:4] == b"caff":
        return _caf(file, end)
    if head[:4] == b"riff":
        return _w64(file, end)
    return None


def _at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _chunks(file: BinaryIO, begin: int, end: int, layout: str, even: bool = True) -> Iterator[tuple[bytes, int, int]]:
    """Name, stated size and offset of the content of each chunk."""
    header = struct.Struct(layout)
    while begin + header.size <= end:
        name, size = header.unpack(_at(file, begin, header.size))
        yield name, size, begin + header.size
        begin += header.size + max(size, 0) + (size % 2 if even else 0)


def _wave(file: BinaryIO, end: int) -> SoundChunk | None:
    ds64: int | None = None
    for name, stated, at in _chunks(file, 12, end, "<4sI"):
        if name == b"ds64" and stated >= 24:
            ds64 = at
        if name == b"data":
            present = end - at
            if stated == _IN_DS64 and ds64 is not None:
                stated = struct.unpack("<Q", _at(file, ds64 + 8, 8))[0]
            elif stated in _OPEN_SIZES:
                return SoundChunk(None, present, {})
            if stated == 0 and _chunk_follows(file, at, end, "<4sI"):
                return SoundChunk(0, 0, {})
            patches = {}
            if stated == 0 < present:
                patches = {at - 4: struct.pack("<I", _IN_DS64)}
                if ds64 is not None:
                    patches |= {ds64: struct.pack("<QQQ", end - 8, present, 0)}
            return SoundChunk(stated, min(present, stated) if stated else present, patches)
    return None


def _chunk_follows(file: BinaryIO, at: int, end: int, layout: str) -> bool:
    """Whether another chunk (or nothing) lies at `at`, as after data that really is empty."""
    head = _at(file, at, 8)
    if len(head) < 8:
        return True
    name, size = struct.unpack(layout, head)
    return name.isascii() and name.decode("ascii").isprintable() and at + 8 + size <= end + 1


def _aiff(file: BinaryIO, end: int) -> SoundChunk | None:
    comm, frame_bytes = None, 0
    for name, stated, at in _chunks(file, 12, end, ">4sI"):
        if name == b"COMM":
            channels, _, bits = struct.unpack(">hIh", _at(file, at, 8))
            comm, frame_bytes = at, channels * -(-bits // 8)
        if name == b"SSND":
            present = end - at - 8
            if stated > 8 or present <= 0 or _chunk_follows(file, at + stated, end, ">4sI"):
                return SoundChunk(max(stated - 8, 0), max(min(present, stated - 8), 0), {})
            patches = {at - 4: struct.pack(">I", present + 8)}
            if comm is not None and frame_bytes > 0:
                patches[comm + 2] = struct.pack(">I", present // frame_bytes)
            return SoundChunk(0, present, patches)
    return None


def _au(head: bytes, end: int) -> SoundChunk:
    at, stated = struct.unpack(">II", head[4:12])
    present = max(end - at, 0)
    if stated == 0xFFFFFFFF:
        return SoundChunk(None, present, {})
    if stated == 0 < present:
        return SoundChunk(0, present, {8: b"\xff" * 4})
    return SoundChunk(stated, min(present, stated), {})


def _caf(file: BinaryIO, end: int) -> SoundChunk | None:
    for name, stated, at in _chunks(file, 8, end, ">4sq", even=False):
        if name == b"data":
            present = end - at - 4  # behind the edit count
            if stated > 4 and stated <= end - at:
                return SoundChunk(stated - 4, stated - 4, {})
            # libsndfile takes the real size only.
            patches = {at - 8: struct.pack(">q", end - at)} if present > 0 else {}
            return SoundChunk(None if stated < 0 else max(stated - 4, 0), max(present, 0), patches)
    return None


def _w64(file: BinaryIO, end: int) -> SoundChunk | None:
    at = 40
    while at + 24 <= end:
        head = _at(file, at, 24)
        stated = struct.unpack("<q", head[16:])[0] - 24
        if head[:16] == _W64_DATA:
            present = end - at - 24
            return SoundChunk(max(stated, 0), min(present, stated) if stated > 0 else present, {})
        at += 24 + max(-(-stated // 8) * 8, 0)
    return None
