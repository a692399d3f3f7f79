"""Decoding by libsndfile: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, CAF; with its seek made sample exact."""

import io
import sys
from typing import BinaryIO, cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.audio.files.decoder import cut_off, ended_early
from rtsep.audio.files.mpeg import MpegFrames

Float32 = NDArray[np.float32]

_UNKNOWN_FRAMES = 2**62  # libsndfile says 2**63 - 1 for a FLAC without a length
# Frames decoded before a seek target. Vorbis and MP3 frames lean on their predecessors.
_PREROLL = 4096
# A Vorbis seek sometimes lands a quarter of a block away (8 of 1500, depending on the Ogg page). Two
# landings on different pages that agree are right; these are the distances to try.
_VORBIS_PREROLLS = (_PREROLL, 3 * _PREROLL, 16 * _PREROLL, 32 * _PREROLL, 64 * _PREROLL)
# libsndfile 1.2.2 decodes rubbish when a read of Opus stops inside the last, trimmed packet and another goes
# on from there. So the last two packets of the longest kind (120 ms at 48 kHz) are read at once.
_OPUS_TAIL = 2 * 5760
_EOF_WITHOUT_LENGTH = 39  # libsndfile's error at the proper end of a FLAC whose header tells no length
_TAIL_SLACK = 64 * 1024  # bytes after the last frame that read-ahead and small tags may explain
_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"\0\0\0\0")
_MPEG_AHEAD = 8  # MPEG frames before damage that libmpg123 must not come near


def patched(file: BinaryIO, patches: dict[int, bytes]) -> BinaryIO:
    """A file of which some bytes (offset -> bytes) read otherwise."""
    return cast(BinaryIO, _PatchedFile(file, patches)) if patches else file


class _PatchedFile(io.RawIOBase):
    def __init__(self, file: BinaryIO, patches: dict[int, bytes]):
        self._file = file
        self._patches = patches

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        begin = self._file.tell()
        count = self._file.readinto(buffer)  # type: ignore[attr-defined]
        for offset, patch in self._patches.items():
            first, last = max(offset, begin), min(offset + len(patch), begin + count)
            if first < last:
                buffer[first - begin : last - begin] = patch[first - offset : last - offset]
        return count

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


class SndfileDecoder:
    """A `Decoder` of one file. Does not close `file`.

    `gave_up` is set where it can't tell what follows: behind damage, or behind the end that the header states.

    Args:
        mpeg: the frames of an MP3. libmpg123 passes over damage in silence, so it is not let near it.
    """

    def __init__(self, file: BinaryIO, mpeg: MpegFrames | None = None):
        self.truncated: str | None = None
        self.notes: list[str] = []
        self.gave_up = False
        self._stream = file
        self._mpeg = mpeg
        self._file = self._open()
        self.sample_rate = self._file.samplerate
        self.channels = self._file.channels
        self.ogg_order = self._file.format == "OGG"
        self._vorbis = self._file.subtype == "VORBIS"
        self._opus = self._file.subtype == "OPUS"
        self._tail = np.empty((0, self.channels), dtype=np.float32)  # Opus: decoded, not yet asked for
        self.frames = self._file.frames if self._file.frames < _UNKNOWN_FRAMES else None
        self._position = 0
        self._ended = False

    def read(self, frames: int) -> Float32:
        if not self._opus or self.frames is None:
            return self._read(frames)
        if not len(self._tail) and frames and self._position + frames > self.frames - _OPUS_TAIL:
            self._tail = self._read(frames + _OPUS_TAIL)
            self._position -= len(self._tail)
        elif not len(self._tail):
            return self._read(frames)
        block, self._tail = self._tail[:frames], self._tail[frames:]
        self._position += len(block)
        return block

    def _read(self, frames: int) -> Float32:
        allowed = 0 if self._ended or self.gave_up else self._clean_frames(self._position, frames)
        if allowed == 0:
            return np.empty((0, self.channels), dtype=np.float32)
        block = np.full((allowed, self.channels), np.nan, dtype=np.float32)
        try:
            count = len(self._file.read(out=block))
        except soundfile.LibsndfileError as error:
            # The block is filled up to the damage; nothing else tells how far.
            count = int(np.isfinite(block[:, 0]).sum())
            whole = self.frames is None and error.code == _EOF_WITHOUT_LENGTH
            self.gave_up = not whole and (self.frames is None or self._position + count < self.frames)
            self._ended = True
            if self.gave_up:
                self.truncated = cut_off((self._position + count) / self.sample_rate)
        self._position += count
        if count < allowed and not self._ended:
            self._end()
        if self._ended and not self.ogg_order:  # where the length is certain, and a place after a seek less so
            self.frames = self._position
        return block[:count]

    def seek(self, frame: int) -> None:
        if self.frames is not None:
            frame = min(frame, self.frames)
        if self.gave_up:
            self._reopen()
        if self._vorbis:
            self._seek_vorbis(frame)
        else:
            self._land(frame, _PREROLL if self._mpeg or self.ogg_order else 0)

    def close(self) -> None:
        self._file.close()

    def _open(self) -> soundfile.SoundFile:
        # Read by Python on libsndfile's behalf, a file swallows control-C: nothing can be raised through C.
        # On Windows a descriptor is a matter of one C library, and libsndfile may have another.
        self._stream.seek(0)
        by_python = sys.platform == "win32" or isinstance(self._stream, _PatchedFile)
        return soundfile.SoundFile(self._stream if by_python else self._stream.fileno(), closefd=False)

    def _clean_frames(self, position: int, wanted: int) -> int:
        """How many of the `wanted` samples from `position` on may be read. Gives up where damage is near."""
        mpeg = self._mpeg
        if mpeg is None:
            return wanted
        mpeg.walk((position + wanted + mpeg.skip) // mpeg.frame_samples + 2 * _MPEG_AHEAD)
        if not mpeg.gaps:
            return wanted
        clean = (mpeg.gaps[0].frame - _MPEG_AHEAD) * mpeg.frame_samples - mpeg.skip - position
        self.gave_up = clean < wanted
        return min(max(clean, 0), wanted)

    def _end(self) -> None:
        """The end without an error: is it where the header states it, and where the file ends?"""
        self._ended = True
        found_s = self._position / self.sample_rate
        if self._mpeg is not None:
            if self._position + 2 * self._mpeg.frame_samples < self._mpeg.samples:
                self.gave_up = True
            self.truncated = self._mpeg.shortfall(self.sample_rate)
        elif self.frames is not None and self._position < self.frames and not self.ogg_order:
            self.truncated = ended_early(found_s, self.frames / self.sample_rate)
        elif self._file.format == "FLAC":
            self.gave_up = self._has_more()

    def _has_more(self) -> bool:
        """Whether there is more in the file than its header states."""
        at = self._stream.tell()
        left = self._stream.seek(0, io.SEEK_END) - at
        self._stream.seek(at)
        tail = self._stream.read(16)
        self._stream.seek(at)
        return left > _TAIL_SLACK and not tail.startswith(_TAGS)

    def _reopen(self) -> None:
        """After damage libsndfile cannot seek any more."""
        self._file.close()
        self._file = self._open()
        self.gave_up = self._ended = False
        self._position = 0

    def _land(self, frame: int, preroll: int) -> Float32:
        """Seek to `frame` by way of `preroll` frames before it, which are returned."""
        start = max(0, frame - preroll)
        self._ended = False
        self._tail = self._tail[:0]
        if self._clean_frames(frame, 1) == 0:
            return self._tail
        try:
            self._position = self._file.seek(start)
        except soundfile.LibsndfileError:
            # Seeking needs the part that is damaged: decode up to there instead.
            self._reopen()
            while self._position < start and len(self.read(min(65536, start - self._position))):
                pass
        return self.read(frame - start)

    def _seek_vorbis(self, frame: int) -> None:
        if frame <= _VORBIS_PREROLLS[0]:
            self._land(0, 0)
            self.read(frame)
            return
        seen: list[Float32] = []
        for preroll in _VORBIS_PREROLLS:
            # The first half of the shortest pre-roll may still lean on frames before the landing.
            heard = self._land(frame, preroll)[-_PREROLL // 2 :]
            if any(len(heard) == len(other) and np.allclose(heard, other, atol=1e-5) for other in seen):
                return
            seen.append(heard)
        # Nothing agreed (never met): from the start it is right in any case.
        self._land(0, 0)
        while self._position < frame and len(self.read(min(65536, frame - self._position))):
            pass
