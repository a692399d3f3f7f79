"""Augmentations of crops, in the order in which music is recorded, mixed and published.

`CropSampler` draws a crop, changes its speed (`change_speed`), replaces stems by those of other songs and blends a
second voice into the vocals (`blend`). `record_and_mix` augments single stems. The sampler may mix two such crops
(mixup); `publish` augments the whole.

Each augmentation is a function of a crop (S, 2, N) float32 and a random generator, and returns a crop of the same shape
and dtype. It changes stems, never their sum alone: the mixture is the sum before and after. Silent stems stay silent.
The same generator state gives the same result. `share` is the probability for each stem (or for the crop, where
stated).

Dimensions: S stems, two channels, N samples.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from rtsep.train.crops.codec import code_and_decode
from rtsep.train_settings import Augment

Float32 = NDArray[np.float32]

EQUALIZER_KNOTS_HZ = (30.0, 90.0, 250.0, 700.0, 2000.0, 6000.0, 16000.0)
SILENCE_FADE_S = 0.02
DOUBLE_DELAY_S = (0.004, 0.03)
DOUBLE_SWAY_S = (0.0, 0.003)
DOUBLE_SWAY_HZ = (0.1, 1.5)
DOUBLE_LEVEL_DB = (-12.0, 3.0)
"""Level of the copy relative to the original."""
DOUBLE_PAN_DB = 9.0
"""Largest level difference between left and right."""
REVERB_DECAY_S = (0.2, 1.5)
"""Reverberation time (60 dB)."""
REVERB_DELAY_S = (0.0, 0.04)
REVERB_LEVEL_DB = (-20.0, -3.0)
"""Energy of the reverberation relative to the direct sound."""
REVERB_DULLNESS_HZ = (2000.0, 12000.0)


def record_and_mix(crop: Float32, settings: Augment, random: np.random.Generator, sample_rate: int) -> Float32:
    """Augment single stems; silencing comes last, so that silenced stems are silent."""
    crop = double(crop, random, settings.double_share, sample_rate)
    crop = reverberate(crop, random, settings.reverb_share, sample_rate)
    crop = equalize(crop, random, settings.equalizer_db, sample_rate)
    crop = vary_gain(crop, random, settings.gain_db)
    crop = flip_polarity(crop, random, settings.polarity_share)
    crop = swap_channels(crop, random, settings.swap_share)
    crop = drop_channel(crop, random, settings.drop_channel_share)
    crop = silence_span(crop, random, settings.silence_share, sample_rate)
    return leave_out(crop, random, settings.leave_out_share)


def publish(crop: Float32, settings: Augment, random: np.random.Generator, sample_rate: int) -> Float32:
    """Augment the mix as a whole: mono, lossy coding."""
    crop = make_mono(crop, random, settings.mono_share)
    return code_and_decode(crop, random, settings.codec_share, sample_rate)


def longest_crop(samples: int, speed: float) -> int:
    """Samples that `change_speed` needs for `samples` of output."""
    return samples if speed == 1.0 else int(np.ceil(samples * speed)) + 16


def change_speed(crop: Float32, speed: float, samples: int) -> Float32:
    """Change tempo and pitch of (S, 2, M) by the factor `speed`, and keep the first `samples`: (S, 2, samples).

    M must be at least `longest_crop(samples, speed)`.
    """
    if speed == 1.0:
        return crop[..., :samples]
    rows = crop.reshape(-1, crop.shape[-1])
    played = soxr.resample(np.ascontiguousarray(rows.T), speed, 1.0, quality="MQ").T
    return np.ascontiguousarray(played[:, :samples]).reshape(*crop.shape[:-1], samples)


def blend(first: Float32, second: Float32, share: float) -> Float32:
    """Weighted mean: `share` of the first, the rest of the second."""
    return (share * first + (1 - share) * second).astype(np.float32, copy=False)


def double(crop: Float32, random: np.random.Generator, share: float, sample_rate: int) -> Float32:
    """Double and pan stems, as studios do with voices: add a copy with a modulated delay in each channel.

    Stems become 2 dB louder on average. Copies are slightly low-passed by their linear interpolation.
    """
    chosen = _chosen(crop, random, share)
    if not len(chosen):
        return crop
    result = crop.copy()
    for stem in chosen:
        level = 10 ** (random.uniform(*DOUBLE_LEVEL_DB) / 20)
        balance_db = random.uniform(-DOUBLE_PAN_DB, DOUBLE_PAN_DB)
        for channel, gain_db in enumerate((balance_db / 2, -balance_db / 2)):
            copy = _swaying(crop[stem, channel], random, sample_rate)
            result[stem, channel] = (crop[stem, channel] + level * copy) * 10 ** (gain_db / 20)
    return result


def _swaying(sound: Float32, random: np.random.Generator, sample_rate: int) -> NDArray[np.float64]:
    """A signal (N,) with a modulated delay, which makes its pitch waver."""
    delay, sway = (random.uniform(*times) * sample_rate for times in (DOUBLE_DELAY_S, DOUBLE_SWAY_S))
    turn, start = 2 * np.pi * random.uniform(*DOUBLE_SWAY_HZ) / sample_rate, random.uniform(0, 2 * np.pi)
    at = np.arange(len(sound))
    late = at - delay - sway * (1 + np.sin(turn * at + start))
    return np.interp(late, at, sound, left=0.0)


def reverberate(crop: Float32, random: np.random.Generator, share: float, sample_rate: int) -> Float32:
    """Add reverberation to stems: exponentially decaying noise, different in each channel."""
    chosen = _chosen(crop, random, share)
    if not len(chosen):
        return crop
    result = crop.copy()
    for stem in chosen:
        response = room_response(random, sample_rate)
        size = 1 << (crop.shape[2] + response.shape[1] - 2).bit_length()
        spectrum = np.fft.rfft(crop[stem], size) * np.fft.rfft(response, size)
        result[stem] = np.fft.irfft(spectrum, size)[:, : crop.shape[2]]
    return result


def room_response(random: np.random.Generator, sample_rate: int) -> Float32:
    """A random room impulse response including the direct sound: (2, n)."""
    decay_s, level_db = random.uniform(*REVERB_DECAY_S), random.uniform(*REVERB_LEVEL_DB)
    delay, dullness_hz = round(random.uniform(*REVERB_DELAY_S) * sample_rate), random.uniform(*REVERB_DULLNESS_HZ)
    samples = round(decay_s * sample_rate)
    noise = random.standard_normal((2, samples)) * 10 ** (-3 * np.arange(samples) / samples)
    low_pass = 1 / (1 + 1j * np.fft.rfftfreq(2 * samples, 1 / sample_rate) / dullness_hz)
    tail = np.fft.irfft(np.fft.rfft(noise, 2 * samples) * low_pass)[:, :samples]
    tail *= 10 ** (level_db / 20) / np.sqrt(np.mean(np.sum(np.square(tail), axis=1)))
    response = np.zeros((2, 1 + delay + samples), np.float32)
    response[:, 0] = 1.0
    response[:, 1 + delay :] = tail
    return response


def equalize(crop: Float32, random: np.random.Generator, range_db: float, sample_rate: int) -> Float32:
    """Apply a smooth random zero-phase equaliser to each stem: up to +-`range_db` at each knot."""
    if not range_db:
        return crop
    samples = crop.shape[2]
    size = 1 << (samples - 1).bit_length()
    weights = _knot_weights(size, sample_rate)
    padded = torch.zeros(crop.shape[1], size)
    result = np.empty_like(crop)
    for stem, sound in enumerate(crop):
        gains = random.uniform(-range_db, range_db, len(EQUALIZER_KNOTS_HZ)) * (np.log(10) / 20)
        curve = np.exp(sum(gain * weight for gain, weight in zip(gains.astype(np.float32), weights, strict=True)))
        padded[:, :samples] = torch.from_numpy(sound)
        spectrum = torch.fft.rfft(padded)  # several times faster than NumPy's
        spectrum *= torch.from_numpy(curve)
        result[stem] = torch.fft.irfft(spectrum, size)[:, :samples].numpy()
    return result


@lru_cache(maxsize=2)
def _knot_weights(size: int, sample_rate: int) -> Float32:
    """Weight of each equaliser knot at each bin of a transform: (knots, bins)."""
    octaves = np.log(np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 1.0))
    knots = np.log(EQUALIZER_KNOTS_HZ)
    return np.stack([np.interp(octaves, knots, of_one) for of_one in np.eye(len(knots))]).astype(np.float32)


def vary_gain(crop: Float32, random: np.random.Generator, range_db: float) -> Float32:
    """Change the level of every stem by up to +-`range_db`."""
    gains = 10 ** (random.uniform(-range_db, range_db, len(crop)) / 20)
    return crop * gains.astype(np.float32)[:, None, None]


def flip_polarity(crop: Float32, random: np.random.Generator, share: float) -> Float32:
    """Invert the polarity of stems."""
    result = crop.copy()
    result[_chosen(crop, random, share)] *= -1
    return result


def swap_channels(crop: Float32, random: np.random.Generator, share: float) -> Float32:
    """Swap left and right of stems."""
    result = crop.copy()
    chosen = _chosen(crop, random, share)
    result[chosen] = crop[chosen, ::-1]
    return result


def drop_channel(crop: Float32, random: np.random.Generator, share: float) -> Float32:
    """Silence the left or the right channel of stems."""
    chosen = _chosen(crop, random, share)
    if not len(chosen):
        return crop
    result = crop.copy()
    result[chosen, random.integers(2, size=len(chosen))] = 0.0
    return result


def silence_span(crop: Float32, random: np.random.Generator, share: float, sample_rate: int) -> Float32:
    """In a `share` of crops, silence one stem for a random span, with short fades; sometimes for all of the crop."""
    if random.random() >= share:
        return crop
    samples = crop.shape[2]
    first, last = np.sort(random.integers(-samples // 2, samples + samples // 2, 2))
    distance = np.maximum(first - np.arange(samples), np.arange(samples) - last)
    result = crop.copy()
    envelope = np.clip(distance / round(SILENCE_FADE_S * sample_rate), 0.0, 1.0)
    result[random.integers(len(crop))] *= envelope.astype(np.float32)
    return result


def leave_out(crop: Float32, random: np.random.Generator, share: float) -> Float32:
    """In a `share` of crops, silence one stem, or all but one: with two stems, the mixture then is a single stem."""
    if random.random() >= share:
        return crop
    silent = np.arange(len(crop)) == random.integers(len(crop))
    if random.random() < 0.5:
        silent = ~silent
    result = crop.copy()
    result[silent] = 0.0
    return result


def make_mono(crop: Float32, random: np.random.Generator, share: float) -> Float32:
    """In a `share` of crops, replace both channels by their mean."""
    if random.random() >= share:
        return crop
    return np.repeat(crop.mean(axis=1, keepdims=True), 2, axis=1)


def _chosen(crop: Float32, random: np.random.Generator, share: float) -> NDArray[np.intp]:
    """Random indices of stems, a `share` of them on average."""
    return np.flatnonzero(random.random(len(crop)) < share)
