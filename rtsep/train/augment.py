"""Ways to make many songs of few: each takes one crop or stem and a random generator, and is told how far to go.

Dimensions: S stems, two channels, N samples.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

EQUALIZER_KNOTS_HZ = (30.0, 90.0, 250.0, 700.0, 2000.0, 6000.0, 16000.0)
SILENCE_FADE_S = 0.02


def change_speed(crop: Float32, speed: float, samples: int) -> Float32:
    """Play (S, 2, M) `speed` times as fast, tempo and pitch alike, and take the first `samples`: (S, 2, samples).

    M must be what `longest_crop` says, at least.
    """
    if speed == 1.0:
        return crop[..., :samples]
    rows = crop.reshape(-1, crop.shape[-1])
    played = soxr.resample(np.ascontiguousarray(rows.T), speed, 1.0, quality="MQ").T
    return np.ascontiguousarray(played[:, :samples]).reshape(*crop.shape[:-1], samples)


def longest_crop(samples: int, speed: float) -> int:
    """How many samples `change_speed` needs to give `samples`."""
    return samples if speed == 1.0 else int(np.ceil(samples * speed)) + 16


def equalize(stem: Float32, random: np.random.Generator, range_db: float, sample_rate: int) -> Float32:
    """A smooth random equaliser of zero phase on (2, N): up to +-`range_db` at knots over the octaves."""
    size = 1 << (stem.shape[1] - 1).bit_length()
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate)
    gains_db = random.uniform(-range_db, range_db, len(EQUALIZER_KNOTS_HZ))
    knots = np.log(EQUALIZER_KNOTS_HZ)
    curve_db = np.interp(np.log(np.maximum(frequencies, 1.0)), knots, gains_db)
    curve = (10 ** (curve_db / 20)).astype(np.float32)
    return np.fft.irfft(np.fft.rfft(stem, size) * curve, size)[:, : stem.shape[1]].astype(np.float32, copy=False)


def silence_span(stem: Float32, random: np.random.Generator, sample_rate: int) -> None:
    """Silence a random span of (2, N), in place, with short fades; now and then the whole."""
    samples = stem.shape[1]
    first, last = np.sort(random.integers(-samples // 2, samples + samples // 2, 2))
    fade = round(SILENCE_FADE_S * sample_rate)
    distance = np.maximum(first - np.arange(samples), np.arange(samples) - last)
    stem *= np.clip(distance / fade, 0.0, 1.0).astype(np.float32)
