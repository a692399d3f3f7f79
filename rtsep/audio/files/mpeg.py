"""The frames of MP3, MP2 and bare AAC (ADTS) files, found by their headers: where each begins, where some are lost.

Such files are frames and nothing else, without times: a decoder that skips damage moves all that follows.

Sources: ISO/IEC 11172-3 and 13818-3 (MPEG audio), 13818-7 (ADTS); the Xing, Info and VBRI headers as encoders write
them.
"""

import os
from array import array
from typing import BinaryIO, NamedTuple

from rtsep.audio.files.decoder import cut_off, ended_early

_WINDOW = 1 << 18
_CHAIN = 3  # frames in a row that are no chance
_PADDING_BYTES = 8192  # of zeros at the end; more are a download that reserved its space and was cut
_ID3V1_BYTES = 128
_MISCOUNT = 0.02  # share of the stated length, but a second at least, by which encoders count differently
_LAME_DELAY = 529  # samples that the decoder itself is late by
LOST = 2**64 - 1
"""In place of the offset of a frame that is lost."""
# Bit rates in kbit/s by header index: MPEG 1 layers I to III, then MPEG 2 layer I, MPEG 2 layers II and III.
_RATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_HERTZ = (44100, 48000, 32000)


class Header(NamedTuple):
    """What a frame says of itself. `kind` is the same for all frames of a file; codec is FFmpeg's name."""

    size: int
    kind: tuple[int, int]
    samples: int
    codec: str


class Gap(NamedTuple):
    """`lost` frames are missing from frame `frame` on."""

    frame: int
    lost: int


def parse_header(data: bytes, at: int = 0) -> Header | None:
    """The header of the frame at `at`; None if there is none."""
    if at + 7 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    b1, b2 = data[at + 1], data[at + 2]
    if b1 & 0xF6 == 0xF0:  # ADTS
        size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        if size <= 7 or b2 >> 2 & 15 > 12:
            return None
        return Header(size, (b1 & 0xFE, b2 & 0xFC), 1024, "aac")
    version, layer = (0, None, 2, 1)[b1 >> 3 & 3], 4 - (b1 >> 1 & 3)
    rate_index, hertz_index = b2 >> 4, b2 >> 2 & 3
    if version is None or layer == 4 or rate_index in (0, 15) or hertz_index == 3:
        return None
    lower = version != 1
    rate = 1000 * _RATES[1 + lower, min(layer, 2) if lower else layer][rate_index - 1]
    hertz = _HERTZ[hertz_index] >> (2 if version == 0 else int(lower))
    padding = b2 >> 1 & 1
    samples = 384 if layer == 1 else 576 if layer == 3 and lower else 1152
    size = (12 * rate // hertz + padding) * 4 if layer == 1 else samples // 8 * rate // hertz + padding
    return Header(size, (b1 & 0xFE, b2 & 0x0C), samples, f"mp{layer}float")


class MpegFrames:
    """The frames of a file, walked as far as asked.

    Attributes:
        offsets: of each frame in bytes, in the order of time, `LOST` for lost ones.
        gaps: where frames are lost.
        finished: whether the end of the file was met; what follows is certain only then.
        is_cut: whether the file ends inside a frame.
        skip, padding: samples that the encoder put before and behind the sound.
        stated: frames that the file's header states, None without one.
        is_other_size: whether the file has clearly fewer or more bytes than its header states.
        has_junk: whether something else than tags lies before the first frame.
    """

    def __init__(self, file: BinaryIO, junk_bytes: int = 0):
        """Raises ValueError if there is no frame at the beginning, behind tags and at most `junk_bytes` of junk."""
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        self._window, self._window_begin = b"", 0
        begin = self._behind_tags(0)
        first = begin if self._chain(begin) else self._find_chain(begin, min(begin + junk_bytes, self._size))
        if first is None:
            raise ValueError("no MPEG audio frames")
        self.has_junk = first != begin
        header = self._header(first)
        assert header is not None
        self.kind, self.frame_samples, self.codec = header.kind, header.samples, header.codec
        self.offsets = array("Q")
        self.gaps: list[Gap] = []
        self.finished = self.is_cut = False
        self.skip = self.padding = 0
        self.stated: int | None = None
        self.is_other_size = False
        self._position = first
        self._sound_bytes = 0
        self._read_info(first, header)

    def walk(self, frames: int | None = None) -> None:
        """Go on until `frames` are known, or to the end."""
        while not self.finished and (frames is None or len(self.offsets) < frames):
            self._step()
            if self.finished and self.gaps and not self.is_cut and self.stated is not None:
                missing = self.stated - len(self.offsets)
                if missing <= len(self.offsets) // 10:  # else the header is wrong
                    self._correct_gap(missing)

    @property
    def samples(self) -> int:
        """Length of the sound, from 0: lost frames count, the encoder's padding does not. Walks to the end."""
        self.walk()
        total = len(self.offsets)
        trim = self.padding if total == self.stated and not self.is_cut else 0
        return max(total * self.frame_samples - self.skip - trim, 0)

    def shortfall(self, sample_rate: int) -> str | None:
        """The clause that says how the file ends too early, None if it does not. Walks to the end."""
        found_s = self.samples / sample_rate
        missing_s = max((self.stated or 0) - len(self.offsets), 0) * self.frame_samples / sample_rate
        if missing_s > max(1.0, found_s * _MISCOUNT):
            return ended_early(found_s, found_s + missing_s)
        return cut_off(found_s) if self.is_cut else None

    def frame(self, index: int) -> bytes:
        """The bytes of a frame, empty if it is lost."""
        offset = self.offsets[index]
        if offset == LOST:
            return b""
        header = self._header(offset)
        return b"" if header is None else self._bytes(offset, header.size)

    # -- walking ---------------------------------------------------------------------------------------------

    def _step(self) -> None:
        header = self._header(self._position)
        if header is not None and header.kind == self.kind:
            if self._position + header.size > self._size:
                self.finished = self.is_cut = True
                return
            self.offsets.append(self._position)
            self._position += header.size
            self._sound_bytes += header.size
            return
        behind = self._behind_tags(self._position)
        if behind > self._position:
            self._position = min(behind, self._size)
        elif self._is_rest(self._position):
            self.finished = True
        else:
            self._resync()

    def _correct_gap(self, missing: int) -> None:
        """Let the largest gap have the frames that are `missing` of those stated; its length was an estimate."""
        index = max(range(len(self.gaps)), key=lambda number: self.gaps[number].lost)
        frame, count = self.gaps[index]
        missing = max(missing, -count)
        self.offsets[frame : frame + count] = array("Q", [LOST] * (count + missing))
        self.gaps[index] = Gap(frame, count + missing)
        self.gaps[index + 1 :] = [Gap(gap.frame + missing, gap.lost) for gap in self.gaps[index + 1 :]]

    def _is_rest(self, position: int) -> bool:
        """Whether nothing but the end, or padding, is left."""
        left = self._size - position
        return left == 0 or (left <= _PADDING_BYTES and not any(self._bytes(position, left)))

    def _resync(self) -> None:
        """Find the next frame behind damage, which may have begun inside the last frame."""
        damage = self._position
        if self.offsets and self.offsets[-1] != LOST:
            damage = self.offsets[-1] + 4
        found = self._find_chain(damage, self._size)
        if found is None:
            self.finished = self.is_cut = True
            return
        if found < self._position:  # the last frame lacks its end
            lost = self.offsets.pop()
            self._sound_bytes -= self._position - lost
            self._position = lost
        mean = self._sound_bytes / max(len(self.offsets) - sum(gap.lost for gap in self.gaps), 1)
        count = round((found - self._position) / mean) if mean else 0
        self.gaps.append(Gap(len(self.offsets), count))
        self.offsets.extend([LOST] * count)
        self._position = found

    def _find_chain(self, begin: int, end: int) -> int | None:
        """The first place in [begin, end) where a few frames follow one another."""
        while begin < end:
            window = self._bytes(begin, _WINDOW)
            at = window.find(b"\xff")
            while at >= 0:
                if begin + at >= end:
                    return None
                if parse_header(window, at) is not None and self._chain(begin + at):
                    return begin + at
                at = window.find(b"\xff", at + 1)
            begin += max(len(window) - 7, 1)
        return None

    def _chain(self, position: int) -> bool:
        """Whether frames of one kind, of this file's kind, follow one another from here on, or up to its end."""
        kind = getattr(self, "kind", None)
        for number in range(_CHAIN):
            header = self._header(position)
            if header is None or header.kind != (kind or header.kind):
                return (number > 0 and position == self._size) or (number > 1 and position > self._size)
            kind = header.kind
            position += header.size
        return True

    # -- what lies between the frames ------------------------------------------------------------------------

    def _behind_tags(self, position: int) -> int:
        """The place behind the ID3 and APE tags at `position`."""
        while True:
            head = self._bytes(position, 32)
            if head.startswith(b"ID3") and len(head) > 10 and not any(byte & 0x80 for byte in head[6:10]):
                size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
                position += 10 + size + (10 if head[5] & 0x10 else 0)
            elif head.startswith(b"APETAGEX") and len(head) == 32:
                is_header = head[23] & 0x20
                position += 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
            elif head.startswith(b"TAG"):
                position += _ID3V1_BYTES
            elif head.startswith(b"LYRICSBEGIN"):
                end = self._bytes(position, _WINDOW).find(b"LYRICS200")
                position = position + end + 9 if end >= 0 else self._size
            else:
                return min(position, self._size)

    def _read_info(self, first: int, header: Header) -> None:
        """The frame of encoders that states how many others there are, if this is one; it holds no sound."""
        frame = self._bytes(first, header.size)
        at = max(frame.find(b"Xing", 0, 64), frame.find(b"Info", 0, 64))
        if at >= 0:
            flags = int.from_bytes(frame[at + 4 : at + 8], "big")
            if flags & 1:
                self.stated = int.from_bytes(frame[at + 8 : at + 12], "big")
            if flags & 3 == 3:
                stated = int.from_bytes(frame[at + 12 : at + 16], "big")
                self.is_other_size = abs(self._size - first - stated) > 0.01 * stated
            lame = at + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
            if len(frame) >= lame + 24 and frame[lame]:
                delays = int.from_bytes(frame[lame + 21 : lame + 24], "big")
                self.skip = (delays >> 12) + _LAME_DELAY
                self.padding = max((delays & 0xFFF) - _LAME_DELAY, 0)
        elif frame[36:40] == b"VBRI":
            self.stated = int.from_bytes(frame[50:54], "big")
        else:
            return
        self._position = first + header.size

    # -- bytes -----------------------------------------------------------------------------------------------

    def _header(self, position: int) -> Header | None:
        at = position - self._window_begin
        if not 0 <= at <= len(self._window) - 7:
            self._bytes(position, 7)
            at = position - self._window_begin
        return parse_header(self._window, at)

    def _bytes(self, position: int, count: int) -> bytes:
        at = position - self._window_begin
        if not 0 <= at <= len(self._window) - count:
            before = self._file.tell()  # a decoder reads on from there
            self._file.seek(position)
            self._window, self._window_begin, at = self._file.read(max(count, _WINDOW)), position, 0
            self._file.seek(before)
        return self._window[at : at + count]
