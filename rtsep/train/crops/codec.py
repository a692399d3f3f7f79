"""Lossy coding as an augmentation: most music that people play has been through it, training data has not."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

FORMATS = ("MP3", "OGG")  # constant bit rate; Vorbis
COMPRESSION = (0.6, 0.9)
"""libsndfile's scale, 0 is best: MP3 at 147 to 61 kbit/s, Vorbis quality 4 to 1 (128 to 80 kbit/s)."""
PEAK = 0.7  # headroom for what coding adds
WRITE_SAMPLES = 4096  # in one call: libsndfile puts the whole block on the stack for Vorbis


def code_and_decode(crop: Float32, random: np.random.Generator, sample_rate: int) -> Float32:
    """A crop's stems (S, 2, N) through one lossy codec, each by itself, so that the mixture stays their sum."""
    file_format = FORMATS[random.integers(len(FORMATS))]
    compression = random.uniform(*COMPRESSION)
    peak = float(np.abs(crop).max())
    if not peak:
        return crop
    scale = PEAK / peak
    coded = [_round_trip(stem * scale, file_format, compression, sample_rate) if stem.any() else stem for stem in crop]
    return np.stack(coded) / np.float32(scale)


def _round_trip(stem: Float32, file_format: str, compression: float, sample_rate: int) -> Float32:
    """Encode and decode (2, N) in memory."""
    buffer = io.BytesIO()
    mode = "CONSTANT" if file_format == "MP3" else None
    with soundfile.SoundFile(
        buffer, "w", sample_rate, 2, format=file_format, compression_level=compression, bitrate_mode=mode
    ) as file:
        for start in range(0, stem.shape[1], WRITE_SAMPLES):
            file.write(np.ascontiguousarray(stem[:, start : start + WRITE_SAMPLES].T))
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, frames=stem.shape[1], dtype="float32", always_2d=True, fill_value=0.0)
    return np.ascontiguousarray(decoded.T, np.float32)
