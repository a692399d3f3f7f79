"""Audio files in: any format, read as a stream of stereo blocks in bounded memory, with sample-exact seeking.

`open_audio` chooses the decoder; `AudioReader` folds to stereo, checks the samples and speaks to the user.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.fold import MAX_CHANNELS, fold_weights, layout_name
from rtsep.errors import RtsepError

_RATES = range(1000, 768001)  # what can be meant; outside it the header lies


class Decoder(Protocol):
    """What a decoder gives: frames at the file's own rate and channels. See `sndfile.SndfileDecoder`."""

    sample_rate: int
    channels: int
    frames: int | None
    ogg_order: bool
    truncated: str | None
    note: str | None

    def read(self, frames: int) -> NDArray[np.float32]: ...
    def seek(self, frame: int) -> None: ...
    def close(self) -> None: ...


class AudioReader:
    """An open audio file as stereo float32 at the file's own rate.

    `channels` are the file's own; a mono file is read as two equal channels, surround is folded down.
    A file that ends early or whose header lies is read as far as it goes; `truncated` then says so.
    """

    def __init__(self, path: Path, decoder: Decoder):
        self.path = path
        self.sample_rate = decoder.sample_rate
        self.channels = decoder.channels
        self._decoder = decoder
        self._weights = fold_weights(decoder.channels, decoder.ogg_order)
        self._position = 0
        self._damage: str | None = None  # the next sample is no number

    @property
    def frames(self) -> int | None:
        """Length in samples as far as known: what the header says, corrected when the end has been met."""
        return self._decoder.frames

    @property
    def truncated(self) -> str | None:
        """One line once damage, or a header that lies about the length, has been met; else None."""
        damage = self._damage or self._decoder.truncated
        return f"{self.path}: {damage}" if damage else None

    @property
    def notes(self) -> list[str]:
        """Lines that the user should know of; nothing in them is an error."""
        lines = []
        if self.channels > 2:
            lines.append(f"{self.path}: {layout_name(self.channels)} is folded down to stereo")
        if self._decoder.note:
            lines.append(f"{self.path}: {self._decoder.note}")
        return lines

    def read(self, max_frames: int) -> NDArray[np.float32]:
        """The next samples, (2, n) contiguous; n < max_frames only at the end, n = 0 from then on.

        A sample that is no number ends it too: those before it are given, what is read from then on is an RtsepError.
        """
        if max_frames < 0:
            raise ValueError(f"max_frames must not be negative, got {max_frames}")
        if self._damage:
            raise RtsepError(f"{self.path}: {self._damage}")
        block = self._decoder.read(max_frames)
        finite = np.isfinite(block)
        if not finite.all():
            block = block[: np.flatnonzero(~finite.all(axis=1))[0]]
            seconds = (self._position + len(block)) / self.sample_rate
            self._damage = f"the sample at {seconds:.3f} s is not a number (NaN or infinite); export the file again"
            if not len(block):
                raise RtsepError(f"{self.path}: {self._damage}")
        self._position += len(block)
        if self.channels == 2:
            return np.ascontiguousarray(block.T)
        if self.channels == 1:
            return np.repeat(block.T, 2, axis=0)
        return np.ascontiguousarray((block @ self._weights).T)

    def seek(self, frame: int) -> None:
        """The next `read` begins with sample `frame`, exactly; at the end or beyond it nothing more comes.

        Equal to reading through from the start, but for what decoders remember longer: Opus agrees to −50 dB,
        and the noise that AAC makes up is other noise.
        """
        if frame < 0:
            raise ValueError(f"frame must not be negative, got {frame}")
        self._decoder.seek(frame)
        self._position = frame
        self._damage = None

    def close(self) -> None:
        self._decoder.close()

    def __enter__(self) -> "AudioReader":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_audio(path: Path | str, stream: int = 0) -> AudioReader:
    """Open an audio file for reading. Raises RtsepError (one line) for whatever is no readable audio file.

    `stream` counts the sound streams of the file from 0; only containers such as MP4 hold more than one.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise RtsepError(f"{path} is a folder; name the audio files in it")
        if path.exists() and not path.is_file():
            raise RtsepError(f"{path} is not a regular file")
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise RtsepError(f"{path} does not exist") from None
    except OSError as error:
        raise RtsepError(f"{path} cannot be opened: {error.strerror or error}") from error
    if not head:
        raise RtsepError(f"{path} is empty (0 bytes)")
    decoder = _decoder_for(path, head, stream)
    try:
        if decoder.sample_rate not in _RATES:
            raise RtsepError(f"{path}: its header says {decoder.sample_rate} Hz, which cannot be")
        if decoder.channels > MAX_CHANNELS:
            raise RtsepError(
                f"{path} has {decoder.channels} channels, more than the {MAX_CHANNELS} of 7.1; mix it down"
            )
        return AudioReader(path, decoder)
    except BaseException:
        decoder.close()
        raise


def _decoder_for(path: Path, head: bytes, stream: int) -> Decoder:
    from rtsep.audio.files.pyav import AvDecoder, is_for_pyav

    if is_for_pyav(head):
        return AvDecoder(path, stream)
    if stream:
        raise RtsepError(f"{path} holds one sound stream, number {stream + 1} is not there")
    import soundfile

    from rtsep.audio.files.sndfile import SndfileDecoder, unreadable

    try:
        return SndfileDecoder(path)
    except soundfile.LibsndfileError as error:
        raise unreadable(path) from error
    except OSError as error:
        raise RtsepError(f"{path} cannot be opened: {error.strerror or error}") from error
