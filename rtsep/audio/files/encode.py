"""Encoding of finished sound: FLAC, MP3, Ogg Vorbis and Opus by libsndfile, AAC in MP4 by FFmpeg (the extra `aac`)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.audio.files.resample import StreamResampler
from rtsep.errors import ArgumentError, MissingPackage

Float32 = NDArray[np.float32]

FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")
_BITS = {"wav": (32, 24, 16), "flac": (24, 16)}
"""Bits a sample; 32 are floating point. The first is the default."""
_BITRATES_KBPS = {"mp3": range(64, 321), "ogg": range(64, 501), "opus": range(32, 501), "m4a": range(64, 321)}
_DEFAULT_KBPS = {"mp3": 320, "ogg": 256, "opus": 192, "m4a": 256}
_RATES = {
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "opus": (48000,),
    "m4a": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
}
"""Sample rates in Hz that a format has, where it has not all. Other sound is resampled to 48 kHz."""
_VORBIS_KBPS = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)
"""Of stereo at 44.1 kHz, for the qualities 0 to 10."""


@dataclass(frozen=True)
class Encoding:
    """A file format, with `bits` a sample where it is lossless and `bitrate_kbps` where it is not.

    None stands for the best usual value: 32 bits for wav, 24 for flac, 320 kbit/s for mp3, 256 for ogg and m4a, 192 for
    opus. Raises ArgumentError for what a format does not have.
    """

    format: str = "wav"
    bits: int | None = None
    bitrate_kbps: int | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ArgumentError("format", self.format, ", ".join(FORMATS[:-1]) + f" or {FORMATS[-1]}")
        allowed = _BITS.get(self.format)
        if self.bits is not None and (allowed is None or self.bits not in allowed):
            expected = f"{' or '.join(map(str, allowed))} with {self.format}" if allowed else f"none with {self.format}"
            raise ArgumentError("bits", self.bits, expected)
        range_kbps = _BITRATES_KBPS.get(self.format)
        if self.bitrate_kbps is not None and (range_kbps is None or self.bitrate_kbps not in range_kbps):
            kbps = f"{range_kbps[0]} to {range_kbps[-1]} kbit/s" if range_kbps else "none"
            raise ArgumentError("bitrate", self.bitrate_kbps, f"{kbps} with {self.format}")

    @property
    def wav_bits(self) -> int | None:
        """Bits a sample of a WAV file; None for other formats."""
        return (self.bits or 32) if self.format == "wav" else None

    @property
    def keeps_peaks(self) -> bool:
        """Whether samples beyond full scale are stored as they are."""
        return self.wav_bits == 32

    @property
    def is_integer(self) -> bool:
        """Whether samples beyond full scale cannot be stored."""
        return self.format in _BITS and not self.keeps_peaks

    def check_installed(self) -> None:
        """Raise MissingPackage if the format needs one that is not installed."""
        if self.format == "m4a":
            _import_av()


def encode(blocks: Iterable[Float32], file: BinaryIO, encoding: Encoding, sample_rate: int, channels: int) -> None:
    """Write blocks (channels, n) to an open file as `encoding`, which is not wav.

    Raises OSError if the disk refuses.
    """
    rates = _RATES.get(encoding.format, (sample_rate,))
    rate = sample_rate if sample_rate in rates else 48000
    if rate != sample_rate:
        blocks = _resampled(blocks, sample_rate, rate, channels)
    if encoding.format == "m4a":
        _encode_aac(blocks, file, encoding, rate, channels)
        return
    settings: dict[str, Any] = {"flac": {"format": "FLAC", "subtype": f"PCM_{encoding.bits or 24}"}}.get(
        encoding.format, {}
    ) or _lossy_settings(encoding, channels)
    sink = _Sink(file)
    try:
        with soundfile.SoundFile(cast(Any, sink), "w", rate, channels, **settings) as sound:
            for block in blocks:
                sound.write(block.T)
                sink.check()
    except (soundfile.LibsndfileError, AssertionError):
        sink.check()
        raise
    sink.check()


def _lossy_settings(encoding: Encoding, channels: int) -> dict[str, Any]:
    """Arguments of SoundFile. libsndfile counts from 0 (best) to 1."""
    kbps = encoding.bitrate_kbps or _DEFAULT_KBPS[encoding.format]
    if encoding.format == "mp3":
        level = (320 - kbps) / 288
        return {
            "format": "MP3",
            "subtype": "MPEG_LAYER_III",
            "bitrate_mode": "CONSTANT",
            "compression_level": level,
        }
    if encoding.format == "opus":
        return {"format": "OGG", "subtype": "OPUS", "compression_level": max(1 - (kbps - 6) / (250 * channels), 0.0)}
    quality = float(np.interp(kbps, _VORBIS_KBPS, np.arange(11) / 10))
    return {"format": "OGG", "subtype": "VORBIS", "compression_level": 1 - quality}


def _resampled(blocks: Iterable[Float32], rate_in: int, rate_out: int, channels: int) -> Iterable[Float32]:
    stream = StreamResampler(rate_in, rate_out, channels)
    for block in blocks:
        yield stream.push(block)
    yield stream.flush()


class _Sink:
    """A file that a library writes. libsndfile and FFmpeg do not pass an error on, so the first one is kept."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self.tell = file.tell

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self._error = self._error or error
            return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)  # which writes what is buffered
        except OSError as error:
            self._error = self._error or error
            return 0

    def read(self, count: int) -> bytes:
        return self._file.read(count)

    def check(self) -> None:
        if self._error is not None:
            raise self._error


def _import_av() -> Any:
    try:
        import av
    except ImportError:
        raise MissingPackage("writing m4a needs PyAV, which is not installed: pip install 'rtsep[aac]'") from None
    return av


def _encode_aac(blocks: Iterable[Float32], file: BinaryIO, encoding: Encoding, rate: int, channels: int) -> None:
    av = _import_av()
    sink = _Sink(file)
    with av.open(sink, mode="w", format="ipod") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono" if channels == 1 else "stereo")
        stream.bit_rate = 1000 * (encoding.bitrate_kbps or _DEFAULT_KBPS["m4a"])
        position = 0
        for block in blocks:
            if block.shape[1]:
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(block), format="fltp", layout=stream.layout.name
                )
                frame.sample_rate, frame.pts = rate, position
                position += block.shape[1]
                container.mux(stream.encode(frame))
                sink.check()
        container.mux(stream.encode(None))
    sink.check()
