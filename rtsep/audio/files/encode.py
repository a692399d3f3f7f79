"""Encoding of finished sound: FLAC, MP3, Ogg Vorbis and Opus by libsndfile, AAC in MP4 by FFmpeg (the extra `aac`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.audio.files.aac import encode_aac, import_av
from rtsep.audio.files.resample import StreamResampler
from rtsep.audio.files.sink import Sink
from rtsep.errors import ArgumentError

Float32 = NDArray[np.float32]

STEM_MP4 = "stem.mp4"
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a", STEM_MP4)
_BITS = {"wav": (32, 24, 16), "flac": (24, 16)}
"""Bits a sample; 32 are floating point. The first is the default."""
_BITRATES_KBPS = {"mp3": range(64, 321), "ogg": range(64, 501), "opus": range(32, 501), "m4a": range(64, 321)}
_BITRATES_KBPS[STEM_MP4] = _BITRATES_KBPS["m4a"]  # of each stream
_DEFAULT_KBPS = {"mp3": 320, "ogg": 256, "opus": 192, "m4a": 256, STEM_MP4: 256}
_RATES = {
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "opus": (48000,),
    "m4a": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
}
_RATES[STEM_MP4] = _RATES["m4a"]
"""Sample rates in Hz that a format has, where it has not all. Other sound is resampled to 48 kHz."""
_VORBIS_KBPS = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)
"""Of stereo at 44.1 kHz, for the qualities 0 to 10."""


@dataclass(frozen=True)
class Encoding:
    """A file format, with `bits` a sample where it is lossless and `bitrate_kbps` where it is not.

    None stands for the best usual value: 32 bits for wav, 24 for flac, 320 kbit/s for mp3, 192 for opus, 256 for the
    others. Raises ArgumentError for what a format does not have.
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

    @property
    def holds_all(self) -> bool:
        """Whether one file holds all stems of a song."""
        return self.format == STEM_MP4

    @property
    def kbps(self) -> int:
        """Bitrate of a format that has one, in kbit/s."""
        return self.bitrate_kbps or _DEFAULT_KBPS[self.format]

    def rate_for(self, sample_rate: int) -> int:
        """The sample rate in Hz at which the format holds sound of this one."""
        return sample_rate if sample_rate in _RATES.get(self.format, (sample_rate,)) else 48000

    def check_installed(self) -> None:
        """Raise MissingPackage if the format needs one that is not installed."""
        if self.format in ("m4a", STEM_MP4):
            import_av(self.format)


def encode(blocks: Iterable[Float32], file: BinaryIO, encoding: Encoding, sample_rate: int, channels: int) -> None:
    """Write blocks (channels, n) to an open file as `encoding`, which is not wav.

    Raises OSError if the disk refuses.
    """
    rate = encoding.rate_for(sample_rate)
    if rate != sample_rate:
        blocks = _resampled(blocks, sample_rate, rate, channels)
    if encoding.format == "m4a":
        encode_aac(([block] for block in blocks), file, encoding.kbps, rate, channels)
        return
    settings: dict[str, Any] = {"flac": {"format": "FLAC", "subtype": f"PCM_{encoding.bits or 24}"}}.get(
        encoding.format, {}
    ) or _lossy_settings(encoding, channels)
    sink = Sink(file)
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
    kbps = encoding.kbps
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
