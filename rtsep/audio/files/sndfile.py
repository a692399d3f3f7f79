"""Decoding by libsndfile: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, CAF; with its seek made sample exact."""

import sys
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.audio.files.wav import declared_data_bytes
from rtsep.errors import RtsepError

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
_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".caf", ".w64"}
_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"\0\0\0\0")


class SndfileDecoder:
    """One open file. Frames are counted at the file's own rate, from 0.

    `frames`: how many there are, None while unknown; corrected when the end comes early.
    `truncated`: one clause for the user once reading has met damage or a header that lies, else None.
    `note`: one clause about something harmless, else None.
    """

    def __init__(self, path: Path):
        self.path = path
        self.truncated: str | None = None
        self.note: str | None = None
        # Python opens the file, not libsndfile: its errors are clear, and tell() shows what was consumed. Unbuffered,
        # for both move in it.
        self._stream = path.open("rb", buffering=0)
        try:
            self._wav_promise = declared_data_bytes(self._stream)
            self._stream.seek(0)
            self._file = self._open()
        except BaseException:
            self._stream.close()
            raise
        self.sample_rate = self._file.samplerate
        self.channels = self._file.channels
        self.ogg_order = self._file.format == "OGG"
        self._mpeg = self._file.subtype.startswith("MPEG")
        self._vorbis = self._file.subtype == "VORBIS"
        self._opus = self._file.subtype == "OPUS"
        self._tail = np.empty((0, self.channels), dtype=np.float32)  # Opus: decoded, not yet asked for
        self.frames = self._file.frames if self._file.frames < _UNKNOWN_FRAMES else None
        self._position = 0
        self._ended = False
        self._broken = False
        if self._wav_promise is not None:
            promised, present = self._wav_promise
            if promised > present + self.channels * 8:  # less than a frame is a matter of padding
                self.truncated = f"its header promises {promised} bytes of sound, {present} are there"
            elif promised == 0 < present:
                self.truncated = f"its header says 0 samples, but {present} bytes of sound follow"

    def read(self, frames: int) -> NDArray[np.float32]:
        """The next frames, float32 (n, channels); n < frames only at the end, n = 0 from then on."""
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

    def _read(self, frames: int) -> NDArray[np.float32]:
        if self._ended or self._broken or frames == 0:
            return np.empty((0, self.channels), dtype=np.float32)
        block = np.full((frames, self.channels), np.nan, dtype=np.float32)
        try:
            count = len(self._file.read(out=block))
        except soundfile.LibsndfileError as error:
            # The block is filled up to the damage; nothing else tells how far.
            count = int(np.isfinite(block[:, 0]).sum())
            self._broken = True
            complete = self.frames is None and error.code == _EOF_WITHOUT_LENGTH
            if not complete and (self.frames is None or self._position + count < self.frames):
                seconds = (self._position + count) / self.sample_rate
                self.truncated = f"it is damaged or cut off after {seconds:.2f} s"
        self._position += count
        if count < frames or self._broken:
            self._end()
        return block[:count]

    def seek(self, frame: int) -> None:
        """The next read begins with this frame, exactly. Beyond the end: nothing more comes."""
        if self.frames is not None:
            frame = min(frame, self.frames)
        if self._broken:
            self._reopen()
        if self._vorbis:
            self._seek_vorbis(frame)
        else:
            self._land(frame, _PREROLL if self._mpeg or self.ogg_order else 0)

    def close(self) -> None:
        self._file.close()
        self._stream.close()

    def _open(self) -> soundfile.SoundFile:
        # Read by Python on libsndfile's behalf, a file swallows control-C: nothing can be raised through C.
        # On Windows a descriptor is a matter of one C library, and libsndfile may have another.
        return soundfile.SoundFile(self._stream if sys.platform == "win32" else self._stream.fileno(), closefd=False)

    def _end(self) -> None:
        self._ended = True
        if self._broken:
            self.frames = self._position
            return
        if self.frames is not None and self._position < self.frames:
            missing = self.frames - self._position
            if self._mpeg or self.ogg_order:
                # An MP3's count is often a guess or includes padding; a word only if seconds are missing.
                if missing > max(self.sample_rate, self.frames // 50):
                    self.note = (
                        f"its header promises {self.frames / self.sample_rate:.0f} s, "
                        f"the sound ends after {self._position / self.sample_rate:.0f} s"
                    )
            else:
                self.truncated = f"its header promises {self.frames} samples, {self._position} are there"
        elif self.truncated is None and self._wav_promise is None and not self.ogg_order:
            self._look_behind()
        self.frames = self._position

    def _look_behind(self) -> None:
        """A header that says less than there is: sound would be left out silently."""
        at = self._stream.tell()
        left = self.path.stat().st_size - at
        tail = self._stream.read(16)
        self._stream.seek(at)
        compressed = self._mpeg or self._file.format == "FLAC"
        if compressed and left > _TAIL_SLACK and not tail.startswith(_TAGS):
            seconds = self._position / self.sample_rate
            self.truncated = f"its header says {seconds:.2f} s, but {left // 1024} KiB of sound follow"

    def _reopen(self) -> None:
        """After damage libsndfile cannot seek any more."""
        self._file.close()
        self._stream.seek(0)
        self._file = self._open()
        self._broken = False
        self._position = 0

    def _land(self, frame: int, preroll: int) -> NDArray[np.float32]:
        """Seek to `frame` by way of `preroll` frames before it, which are returned."""
        start = max(0, frame - preroll)
        self._ended = False
        self._tail = self._tail[:0]
        try:
            self._position = self._file.seek(start)
        except soundfile.LibsndfileError:
            # Seeking needs the part that is damaged: go there on foot.
            self._reopen()
            while self._position < start and len(self.read(min(65536, start - self._position))):
                pass
        return self.read(frame - start)

    def _seek_vorbis(self, frame: int) -> None:
        if frame <= _VORBIS_PREROLLS[0]:
            self._land(0, 0)
            self.read(frame)
            return
        seen: list[NDArray[np.float32]] = []
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


def unreadable(path: Path) -> RtsepError:
    """What libsndfile's refusal to open means for the user."""
    if path.suffix.lower() in _SUFFIXES:
        return RtsepError(
            f"{path} is not a {path.suffix[1:].upper()} file that can be read: "
            "damaged, or something else under that name"
        )
    return RtsepError(
        f"{path} is no audio file that can be read (WAV, FLAC, Ogg, Opus, MP3, AIFF, CAF; "
        "M4A with pip install 'rtsep[aac]')"
    )
