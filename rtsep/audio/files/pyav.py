"""Decoding by FFmpeg through PyAV (extra `aac`): whatever libsndfile can't read, or not to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.decoder import cut_off, damaged, ended_early, unreadable
from rtsep.errors import MissingPackage, RtsepError

if TYPE_CHECKING:
    from av.container import InputContainer

Float32 = NDArray[np.float32]

# Formats without an index or times: places in them are found by decoding from the start, lengths are guesses.
_BARE = {"aac", "ac3", "eac3", "ac4", "dts", "dtshd", "truehd", "mlp", "mp3", "loas", "amr", "g722", "gsm", "sbc"}
# Samples decoded before a seek's target, since codecs lean on what was before; more where times disagree.
_PREROLLS = (8192, 4 * 8192, 16 * 8192)
_VORBIS_SHARE = 0.7  # of Vorbis' times are right; those at changes of its block size are not
_HELD = 16  # blocks after a seek whose times are compared
_TOLERANCE_S = 0.05  # by which times may be off without meaning a gap
_LOST_TOLERANCE_S = 0.002  # where a packet is known to be damaged
_LARGEST_GAP_S = 600.0
_SLACK_S = 0.1  # by which a stated length may be too long
_SILENCE = 65536
_RETRIES = 8
_PROBED = 8  # packets
# Files that name others (playlists) are not followed.
_OPTIONS = {"protocol_whitelist": "none"}


def import_av(path: Path) -> Any:
    """PyAV; MissingPackage with what to install if it is missing."""
    try:
        import av
    except ImportError:
        raise MissingPackage(f"{path} needs FFmpeg's decoders: pip install 'rtsep[aac]'") from None
    return av


def take(frames: int, pending: Float32, blocks: Iterator[Float32]) -> tuple[Float32, Float32]:
    """The first `frames` samples of `pending` and the blocks after it, as far as there are any; what is left over."""
    parts, have = [pending], len(pending)
    while have < frames and (block := next(blocks, None)) is not None:
        parts.append(block)
        have += len(block)
    joined = np.concatenate(parts)
    return joined[:frames], joined[frames:]


def silence(at: int, count: int, start: int, channels: int) -> Iterator[Float32]:
    """Zeros for the samples [at, at + count) as far as they do not lie before `start`."""
    at, end = max(at, start), at + count
    while at < end:
        yield np.zeros((min(_SILENCE, end - at), channels), np.float32)
        at += _SILENCE


def samples_of(frame: Any) -> Float32:
    """A decoded frame as float32 (n, channels), whatever its sample format."""
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, len(frame.layout.channels)).T
    if raw.dtype.kind == "f":
        return np.ascontiguousarray(raw.T, dtype=np.float32)
    if raw.dtype == np.uint8:
        return ((raw.T.astype(np.float32)) - 128.0) / 128.0
    return raw.T.astype(np.float32) / -float(np.iinfo(raw.dtype).min)


class _Block(NamedTuple):
    """Decoded samples (n, channels), their place by the file's times (None without), bytes of them and lost before."""

    samples: Float32
    place: int | None
    size_bytes: int
    lost_bytes: int


class AvDecoder:
    """A `Decoder` of one sound stream of any container, counted from 0: a stem file holds several.

    Raises RtsepError if FFmpeg finds no sound in it. Does not close `file`.
    """

    ogg_order = False  # FFmpeg puts channels into WAV's order

    def __init__(self, path: Path, file: BinaryIO, stream: int = 0):
        self._av = import_av(path)
        self._errors = (self._av.error.FFmpegError, EOFError)
        self.path = path
        self.truncated: str | None = None
        self.notes: list[str] = []
        self._file = file
        self._stream = stream
        self._damage: set[int] = set()
        self._position = 0
        self._is_cut = False
        try:
            self._container = self._open()
        except (*self._errors, ValueError) as error:
            raise unreadable(path) from error
        try:
            self._probe()
        except BaseException:
            self._container.close()
            raise
        self._pending = np.empty((0, self.channels), dtype=np.float32)
        self._blocks = self._decode(0)

    def read(self, frames: int) -> Float32:
        if self._limit is not None:
            frames = min(frames, max(self._limit - self._position, 0))
        block, self._pending = take(frames, self._pending, self._blocks)
        self._position += len(block)
        return block

    def seek(self, frame: int) -> None:
        self._position = frame
        self._pending = self._pending[:0]
        self._blocks = self._decode(frame)

    def close(self) -> None:
        self._blocks = iter(())
        self._container.close()

    # -- what is in it ---------------------------------------------------------------------------------------

    def _open(self) -> InputContainer:
        self._file.seek(0)
        container = self._av.open(self._file, options=_OPTIONS)
        for sound in container.streams.audio:
            if sound.codec_context.name == "flac":  # else damaged frames are noise at full scale
                sound.codec_context.options = {"err_detect": "crccheck+explode"}
        return container

    def _probe(self) -> None:
        """Look at the header and at the first frames, which tell some things for certain."""
        streams = self._container.streams.audio
        if not streams:
            raise RtsepError(f"{self.path} has no audio stream")
        if self._stream >= len(streams):
            raise RtsepError(f"{self.path} has {len(streams)} audio streams, number {self._stream + 1} does not exist")
        sound = streams[self._stream]
        self.format, self.codec = self._container.format.name, sound.codec_context.name
        frames = [frame for _, decoded, _ in islice(self._packets(), _PROBED) for frame in decoded]
        if not frames:
            raise RtsepError(f"{self.path} contains no readable audio")
        self.sample_rate, self._layout = int(frames[0].sample_rate), frames[0].layout
        self.channels = len(self._layout.channels)
        self._origin = round((frames[0].time or 0.0) * self.sample_rate)  # of the first sample that is heard
        sizes = [frame.samples for frame in frames]
        is_fixed = len(sizes) > 2 and len(set(sizes[1:-1])) == 1 and self.codec != "vorbis"
        # Times that are coarser than samples (Matroska, ASF: milliseconds) are rounded to where a frame can begin.
        is_coarse = not sound.time_base or sound.time_base * self.sample_rate > 1.5
        self._grid = (sizes[1], sizes[0] % sizes[1]) if is_coarse and is_fixed else None
        self._exact = not is_coarse and self.codec != "vorbis"
        self._indexed = self.format not in _BARE and (is_fixed or not is_coarse)
        self.frames = self._stated = self._stated_frames(sound)
        # FFmpeg leaves in the padding of MP4.
        self._limit = self.frames if self.format.startswith("mov") else None

    def _stated_frames(self, sound: Any) -> int | None:
        if self.format in _BARE:
            return None
        if sound.duration and sound.time_base:
            preskip = sound.codec_context.extradata[10:12] if (self.format, self.codec) == ("ogg", "opus") else b""
            return round(sound.duration * sound.time_base * self.sample_rate) - int.from_bytes(preskip, "little")
        if self._container.duration and len(self._container.streams) == 1:
            return round(self._container.duration * self.sample_rate / 1_000_000)
        return None

    # -- places ----------------------------------------------------------------------------------------------

    def _decode(self, start: int) -> Iterator[Float32]:
        """Samples (n, channels) from frame `start` on, silence where some are lost."""
        at, blocks = self._land(start)
        decoded = decoded_bytes = 0
        for block in blocks:
            gap = self._gap(block, at, decoded_bytes / max(decoded, 1)) if at or decoded else 0
            if gap > 0:
                self._note_damage(at, gap)
                yield from silence(at, gap, start, self.channels)
                at += gap
            begin, at = at, at + len(block.samples)
            decoded, decoded_bytes = decoded + len(block.samples), decoded_bytes + block.size_bytes
            if at > start:
                yield block.samples[max(start - begin, 0) :]
        self._end(at)

    def _land(self, start: int) -> tuple[int, Iterator[_Block]]:
        """Blocks from a little before `start` on, and where the first of them lies."""
        for preroll in _PREROLLS if self._indexed else ():
            if start <= preroll:
                break
            try:
                # In units of the container, one for all: microseconds.
                offset = (start - preroll + self._origin) * 1_000_000 // self.sample_rate
                self._container.seek(offset, backward=True)
            except self._errors:
                break  # no way to find places in this file
            blocks = self._decoded()
            held = list(islice(blocks, _HELD))
            at = self._landing(held)
            if at is not None and at <= start:
                return at, chain((block._replace(place=None) for block in held), blocks)
        # Not a seek to 0: it leaves out what lies before, which the first frame overlaps with.
        self._container.close()
        self._container = self._open()
        return 0, self._decoded()

    def _landing(self, held: list[_Block]) -> int | None:
        """Where the first of these blocks lies by their times; None where these disagree, as in Ogg after a seek."""
        count, votes, last = 0, Counter[int](), None
        for block in held:
            if block.place is not None:
                last = block.place - count
                votes[last] += 1
            count += len(block.samples)
        if last is None or votes[last] < votes.total() * (_VORBIS_SHARE if self.codec == "vorbis" else 1):
            return None
        return last

    def _gap(self, block: _Block, at: int, bytes_per_sample: float) -> int:
        """How many samples are lost before this block, which would else lie at `at`."""
        size = len(block.samples)
        if self.format in _BARE:
            block_bytes = bytes_per_sample * size
            return round(block.lost_bytes / block_bytes) * size if block_bytes else 0
        if block.place is None:
            return 0
        gap = block.place - at
        tolerance = size // 2 if self._exact else _TOLERANCE_S * self.sample_rate
        if block.lost_bytes:
            tolerance = _LOST_TOLERANCE_S * self.sample_rate
        return gap if tolerance < gap < _LARGEST_GAP_S * self.sample_rate else 0

    def _end(self, found: int) -> None:
        self.frames = found if self._limit is None else min(found, self._limit)
        rate = self.sample_rate
        if self._stated is not None and found < self._stated - _SLACK_S * rate:
            self.truncated = ended_early(found / rate, self._stated / rate)
        elif self._is_cut:
            self.truncated = cut_off(found / rate)

    def _note_damage(self, at: int, lost: int) -> None:
        if at not in self._damage:
            self._damage.add(at)
            self.notes.append(damaged(at / self.sample_rate, lost / self.sample_rate))

    # -- packets ---------------------------------------------------------------------------------------------

    def _decoded(self) -> Iterator[_Block]:
        """What can be decoded from here on, and how much could not be before it."""
        lost_bytes, smallest = 0, 0
        for size, frames, is_damaged in self._packets():
            if is_damaged:
                lost_bytes += size
            # A bare frame that the end of the file cuts is decoded to something.
            self._is_cut = is_damaged or (self.format in _BARE and 0 < size < 0.9 * smallest)
            smallest = min(smallest or size, size) if size else smallest
            for frame in frames:
                samples = self._samples(frame)
                if samples is None:
                    lost_bytes += size
                    continue
                yield _Block(samples, self._place(frame), size, lost_bytes)
                lost_bytes = 0

    def _packets(self) -> Iterator[tuple[int, list[Any], bool]]:
        """Bytes of each packet, its frames, whether it is damaged. Damage of the container is passed over."""
        failures = 0
        while failures < _RETRIES:
            try:
                for packet in self._container.demux(self._container.streams.audio[self._stream]):
                    try:
                        yield packet.size, packet.decode(), False
                    except self._errors:
                        yield packet.size, [], True
                    failures = 0
                return
            except self._errors:
                failures += 1

    def _place(self, frame: Any) -> int | None:
        if frame.time is None:
            return None
        place = round(frame.time * self.sample_rate) - self._origin
        if self._grid is None:
            return place
        size, first = self._grid
        return round((place - first) / size) * size + first

    def _samples(self, frame: Any) -> Float32 | None:
        """A frame as the first one was: a stream may change its rate or channels on its way. None if it can't be."""
        if frame.sample_rate == self.sample_rate and len(frame.layout.channels) == self.channels:
            return samples_of(frame)
        frame.pts = None
        try:
            convert = self._av.AudioResampler(format="flt", layout=self._layout, rate=self.sample_rate)
            return np.concatenate([samples_of(piece) for piece in convert.resample(frame) + convert.resample(None)])
        except (*self._errors, ValueError):
            return None
