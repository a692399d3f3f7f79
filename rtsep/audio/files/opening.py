"""Which decoder reads a file: libsndfile what it reads for certain, FFmpeg all else, both together what is damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.audio.files.chain import ChainDecoder
from rtsep.audio.files.chunks import SoundChunk, sound_chunk
from rtsep.audio.files.decoder import Decoder, cut_off, ended_early, unreadable
from rtsep.audio.files.mpeg import MpegFrames
from rtsep.audio.files.ogg import ogg_links
from rtsep.audio.files.pyav import AvDecoder
from rtsep.audio.files.pyav_mpeg import MpegDecoder
from rtsep.audio.files.sndfile import SndfileDecoder, patched
from rtsep.errors import MissingPackage, RtsepError

_JUNK_BYTES = 1 << 20  # searched for the first MPEG frame
_FFMPEG_ONLY = (b"\x1aE\xdf\xa3", b"0&\xb2u")  # Matroska and WebM, ASF (WMA)


def open_decoder(path: Path, file: BinaryIO, stream: int = 0) -> Decoder:
    """A decoder of sound stream `stream` (from 0) of an open file. RtsepError, one line, if there is none."""
    head = file.read(16)
    if not head:
        raise RtsepError(f"{path} is empty (0 bytes)")
    if head[4:8] == b"ftyp" or head.startswith(_FFMPEG_ONLY):
        return AvDecoder(path, file, stream)
    if stream:
        raise RtsepError(f"{path} has 1 audio stream, number {stream + 1} does not exist")
    if head.startswith(b"OggS"):
        return _open_ogg(path, file)
    if (chunk := sound_chunk(file)) is not None:
        return _open_chunk(path, file, chunk)
    try:
        return _open_mpeg(path, file, MpegFrames(file))
    except ValueError:  # no MPEG audio
        return _open_other(path, file)


class FallbackDecoder:
    """libsndfile's decoder until it gives up, from there on FFmpeg's."""

    def __init__(self, first: SndfileDecoder, open_second: Callable[[], Decoder]):
        self._first: SndfileDecoder | None = first
        self._decoder: Decoder = first
        self._open_second = open_second
        self._position = 0

    @property
    def sample_rate(self) -> int:
        return self._decoder.sample_rate

    @property
    def channels(self) -> int:
        return self._decoder.channels

    @property
    def frames(self) -> int | None:
        return self._decoder.frames

    @property
    def ogg_order(self) -> bool:
        return self._decoder.ogg_order

    @property
    def truncated(self) -> str | None:
        return self._decoder.truncated

    @property
    def notes(self) -> list[str]:
        return self._decoder.notes

    def read(self, frames: int) -> NDArray[np.float32]:
        block = self._decoder.read(frames)
        self._position += len(block)
        if len(block) < frames and self._first is not None and self._first.gave_up:
            self._hand_over(self._first)
            rest = self._decoder.read(frames - len(block))
            self._position += len(rest)
            block = np.concatenate([block, rest])
        return block

    def seek(self, frame: int) -> None:
        self._position = frame
        self._decoder.seek(frame)

    def close(self) -> None:
        self._decoder.close()

    def _hand_over(self, first: SndfileDecoder) -> None:
        self._first = None
        try:
            second = self._open_second()
        except RtsepError as error:
            first.frames = self._position
            found = first.truncated or cut_off(self._position / first.sample_rate)
            first.truncated = f"{found} ({error})" if isinstance(error, MissingPackage) else found
            return
        self._decoder = second
        second.seek(self._position)
        first.close()


def _open_ogg(path: Path, file: BinaryIO) -> Decoder:
    links = ogg_links(file)
    if len(links) == 1 and not links[0].is_damaged:
        try:
            decoder = SndfileDecoder(file)
        except soundfile.LibsndfileError:  # FLAC in Ogg by FFmpeg, Speex
            return ChainDecoder(path, file, links)
        if links[0].is_cut:
            decoder.truncated = cut_off((decoder.frames or 0) / decoder.sample_rate)
        return decoder
    try:
        return ChainDecoder(path, file, links)
    except MissingPackage as error:
        return _first_link(file, len(links), error)


def _first_link(file: BinaryIO, links: int, error: MissingPackage) -> Decoder:
    decoder = SndfileDecoder(file)
    found = cut_off((decoder.frames or 0) / decoder.sample_rate)
    more = {1: "", 2: ", 1 more stream follows"}.get(links, f", {links - 1} more streams follow")
    decoder.truncated = f"{found}{more} ({error})"
    return decoder


def _open_chunk(path: Path, file: BinaryIO, chunk: SoundChunk) -> Decoder:
    """Uncompressed sound: how much there should be is known from the start."""
    decoder: SndfileDecoder | AvDecoder
    try:
        decoder = SndfileDecoder(patched(file, chunk.patches))
    except soundfile.LibsndfileError as error:
        try:
            decoder = AvDecoder(path, file)
        except MissingPackage:
            raise
        except RtsepError:
            raise unreadable(path) from error
    found_s = (decoder.frames or 0) / decoder.sample_rate
    if chunk.is_unfinished:
        decoder.notes.append("its header states no length; read to the end of the file")
    elif chunk.stated is not None and chunk.is_cut:
        stated_s = found_s * chunk.stated / max(chunk.present, 1)
        decoder.truncated = ended_early(found_s, stated_s) if found_s else cut_off(0.0)
    return decoder


def _open_mpeg(path: Path, file: BinaryIO, frames: MpegFrames) -> Decoder:
    """MP3, MP2 and bare AAC. libmpg123 guesses the length of those that do not state it, and often too low."""
    if frames.codec == "aac" or frames.has_junk:
        return MpegDecoder(path, frames)
    if frames.is_other_size:  # libmpg123 would print that
        with contextlib.suppress(MissingPackage):
            return MpegDecoder(path, frames)
    try:
        decoder = SndfileDecoder(file, frames)
    except soundfile.LibsndfileError:
        return MpegDecoder(path, frames)
    if frames.stated is None:
        if decoder.frames is None or decoder.frames < frames.samples:
            with contextlib.suppress(MissingPackage):  # then libsndfile reads a part
                return MpegDecoder(path, frames)
        else:
            decoder.frames = frames.samples
    return FallbackDecoder(decoder, lambda: MpegDecoder(path, frames))


def _open_other(path: Path, file: BinaryIO) -> Decoder:
    try:
        return FallbackDecoder(SndfileDecoder(file), lambda: AvDecoder(path, file))
    except soundfile.LibsndfileError as error:
        refusal = error
    try:
        decoder = AvDecoder(path, file)
        if decoder.format not in ("mp3", "aac"):
            return decoder
        decoder.close()
    except MissingPackage as error:
        raise unreadable(path, "; more formats with pip install 'rtsep[aac]'") from error
    except RtsepError:
        pass
    try:
        return MpegDecoder(path, MpegFrames(file, _JUNK_BYTES))
    except (ValueError, RtsepError):
        raise unreadable(path) from refusal
