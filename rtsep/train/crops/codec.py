"""Lossy coding as an augmentation: what listeners play has been through it, what trains has not."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

FORMATS = ("MP3", "OGG")  # constant bit rate; Vorbis
COMPRESSION = (0.6, 0.9)
"""As libsndfile counts, 0 for the best: 147 to 61 kbit/s of MP3, quality 4 to 1 (128 to 80 kbit/s) of Vorbis."""
PEAK = 0.7  # far enough from full scale for what coding adds
WRITE_SAMPLES = 4096  # at once: libsndfile puts what is to become Vorbis on the stack, all of it


def code_and_decode(crop: Float32, random: np.random.Generator, share: float, sample_rate: int) -> Float32:
    """In a `share` of crops, the stems (S, 2, N) as they are after lossy coding, all with the same codec.

    Each is coded for itself, so that the mixture, their sum, stays what its stems say: coded as a whole it would lose
    something that no stem lacks.
    """
    if random.random() >= share:
        return crop
    file_format = FORMATS[random.integers(len(FORMATS))]
    compression = random.uniform(*COMPRESSION)
    peak = float(np.abs(crop).max())
    if not peak:
        return crop
    scale = PEAK / peak
    coded = [_round_trip(stem * scale, file_format, compression, sample_rate) if stem.any() else stem for stem in crop]
    return np.stack(coded) / np.float32(scale)


def _round_trip(stem: Float32, file_format: str, compression: float, sample_rate: int) -> Float32:
    """(2, N) through a file in memory."""
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
