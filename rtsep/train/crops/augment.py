"""Augmentations of crops, in the order in which music is recorded, mixed and published.

`CropSampler` draws crops, changes their speed (`rtsep.train.crops.speed`), replaces stems by those of other songs and
blends second voices into the vocals. `record_and_mix` augments single stems. The sampler may mix two such crops
(mixup); `publish` augments the whole.

Each augmentation changes crops (B, S, 2, N) float32 in place, on the device where they are, all of them in a few
operations. What happens to a crop is drawn from its own generator of `randoms` and does not depend on the others. Stems
change, never their sum alone: the mixture is the sum before and after. Silent stems stay silent. `share` is the
probability for each stem (or for the crop, where stated).

Dimensions: B crops, S stems, R chosen ones of all stems, two channels, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtsep.train.crops.codec import code_and_decode
from rtsep.train.crops.speed import fast_size
from rtsep.train_settings import Augment

Randoms = Sequence[np.random.Generator]

EQUALIZER_KNOTS_HZ = (30.0, 90.0, 250.0, 700.0, 2000.0, 6000.0, 16000.0)
EQUALIZER_RINGING = 4096
"""Samples in which the response of an equaliser has decayed."""
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


def record_and_mix(crops: Tensor, settings: Augment, randoms: Randoms, sample_rate: int) -> None:
    """Augment single stems; silencing comes last, so that silenced stems are silent."""
    double(crops, randoms, settings.double_share, sample_rate)
    reverberate(crops, randoms, settings.reverb_share, sample_rate)
    equalize(crops, randoms, settings.equalizer_db, sample_rate)
    vary_gain(crops, randoms, settings.gain_db)
    flip_polarity(crops, randoms, settings.polarity_share)
    swap_channels(crops, randoms, settings.swap_share)
    drop_channel(crops, randoms, settings.drop_channel_share)
    silence_span(crops, randoms, settings.silence_share, sample_rate)
    leave_out(crops, randoms, settings.leave_out_share)


def publish(crops: Tensor, settings: Augment, randoms: Randoms, sample_rate: int) -> None:
    """Augment the mixes as a whole: mono, lossy coding."""
    make_mono(crops, randoms, settings.mono_share)
    for crop, random in zip(crops, randoms, strict=True):
        if random.random() < settings.codec_share:
            coded = code_and_decode(crop.cpu().numpy(), random, sample_rate)
            crop.copy_(torch.from_numpy(coded))


def double(crops: Tensor, randoms: Randoms, share: float, sample_rate: int) -> None:
    """Double and pan stems, as studios do with voices: add a copy with a modulated delay in each channel.

    Stems become 2 dB louder on average. Copies are slightly low-passed by their linear interpolation.
    """
    chosen = _chosen(crops, randoms, share)
    if not chosen:
        return
    levels, gains_db, sways = [], [], []
    for crop, _ in chosen:
        random = randoms[crop]
        levels.append(10 ** (random.uniform(*DOUBLE_LEVEL_DB) / 20))
        balance_db = random.uniform(-DOUBLE_PAN_DB, DOUBLE_PAN_DB)
        gains_db.append((balance_db / 2, -balance_db / 2))
        sways.append([_draw_sway(random, sample_rate) for _ in gains_db[-1]])
    index = _index(crops, chosen)
    sound = crops[index]
    longest = round((DOUBLE_DELAY_S[1] + 2 * DOUBLE_SWAY_S[1]) * sample_rate) + 2
    copies = _swaying(sound, _tensor(crops, sways), longest)
    sound += _tensor(crops, levels)[:, None, None] * copies
    crops[index] = sound * 10 ** (_tensor(crops, gains_db)[:, :, None] / 20)


def _draw_sway(random: np.random.Generator, sample_rate: int) -> tuple[float, float, float, float]:
    """Delay and largest sway in samples, radians a sample, radians at the start."""
    delay, sway = (random.uniform(*times) * sample_rate for times in (DOUBLE_DELAY_S, DOUBLE_SWAY_S))
    turn, start = 2 * np.pi * random.uniform(*DOUBLE_SWAY_HZ) / sample_rate, random.uniform(0, 2 * np.pi)
    return delay, sway, turn, start


def _swaying(sound: Tensor, sways: Tensor, longest: int) -> Tensor:
    """Signals (R, 2, N) with delays from `sways` (R, 2, 4) below `longest`, which make their pitch waver."""
    delay, sway, turn, start = sways[..., None].unbind(2)
    at = torch.arange(sound.shape[2], device=sound.device)
    late = delay + sway * (1 + torch.sin(turn * at + start))
    whole = late.floor()
    padded = torch.nn.functional.pad(sound, (longest, 0))
    place = at + longest - whole.long()
    newer = padded.gather(2, place)
    return torch.lerp(newer, padded.gather(2, place - 1), late - whole)


def reverberate(crops: Tensor, randoms: Randoms, share: float, sample_rate: int) -> None:
    """Add reverberation to stems: exponentially decaying noise, different in each channel."""
    chosen = _chosen(crops, randoms, share)
    if not chosen:
        return
    responses = room_responses([randoms[crop] for crop, _ in chosen], sample_rate, crops.device)
    samples = crops.shape[3]
    size = fast_size(samples + responses.shape[2])
    index = _index(crops, chosen)
    spectrum = torch.fft.rfft(crops[index], size)
    spectrum *= torch.fft.rfft(responses, size)
    crops[index] = torch.fft.irfft(spectrum, size)[..., :samples]


def room_responses(randoms: Randoms, sample_rate: int, device: torch.device) -> Tensor:
    """A random room impulse response for each generator, including the direct sound: (R, 2, n)."""
    rooms = []
    for random in randoms:
        decay_s, level_db = random.uniform(*REVERB_DECAY_S), random.uniform(*REVERB_LEVEL_DB)
        delay, dullness_hz = round(random.uniform(*REVERB_DELAY_S) * sample_rate), random.uniform(*REVERB_DULLNESS_HZ)
        rooms.append((round(decay_s * sample_rate), level_db, delay, dullness_hz, int(random.integers(1 << 62))))
    longest = max(samples for samples, *_ in rooms)
    tails = torch.zeros(len(rooms), 2, longest, device=device)
    source = torch.Generator(device)
    for tail, (samples, *_, seed) in zip(tails, rooms, strict=True):
        tail[:, :samples] = torch.randn(2, samples, generator=source.manual_seed(seed), device=device)
    lengths, levels_db, _, dullness, _ = (
        torch.tensor(of, device=device)[:, None, None] for of in zip(*rooms, strict=True)
    )
    at = torch.arange(longest, device=device)
    tails *= 10 ** (-3 * at / lengths)
    size = fast_size(2 * longest)
    frequencies = torch.arange(size // 2 + 1, device=device) * (sample_rate / size)
    spectrum = torch.fft.rfft(tails, size)
    spectrum *= 1 / torch.complex(torch.ones_like(frequencies), frequencies / dullness)
    tails = torch.where(at < lengths, torch.fft.irfft(spectrum, size)[..., :longest], 0.0)
    tails *= 10 ** (levels_db / 20) / tails.square().sum(dim=2, keepdim=True).mean(dim=1, keepdim=True).sqrt()
    responses = torch.zeros(len(rooms), 2, 1 + max(delay for _, _, delay, *_ in rooms) + longest, device=device)
    responses[:, :, 0] = 1.0
    for response, tail, (samples, _, delay, *_) in zip(responses, tails, rooms, strict=True):
        response[:, 1 + delay : 1 + delay + samples] = tail[:, :samples]
    return responses


def equalize(crops: Tensor, randoms: Randoms, range_db: float, sample_rate: int) -> None:
    """Apply a smooth random zero-phase equaliser to each stem: up to +-`range_db` at each knot."""
    if not range_db:
        return
    samples, knots = crops.shape[3], (crops.shape[1], len(EQUALIZER_KNOTS_HZ))
    size = fast_size(samples + EQUALIZER_RINGING)
    gains_db = np.stack([random.uniform(-range_db, range_db, knots) for random in randoms])
    weights = torch.from_numpy(_knot_weights(size, sample_rate)).to(crops.device)
    curves = torch.exp(_tensor(crops, gains_db * (np.log(10) / 20)) @ weights)
    spectrum = torch.fft.rfft(crops, size)
    spectrum *= curves[:, :, None]
    crops.copy_(torch.fft.irfft(spectrum, size)[..., :samples])


@lru_cache(maxsize=2)
def _knot_weights(size: int, sample_rate: int) -> NDArray[np.float32]:
    """Weight of each equaliser knot at each bin of a transform: (knots, bins)."""
    octaves = np.log(np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 1.0))
    knots = np.log(EQUALIZER_KNOTS_HZ)
    return np.stack([np.interp(octaves, knots, of_one) for of_one in np.eye(len(knots))]).astype(np.float32)


def vary_gain(crops: Tensor, randoms: Randoms, range_db: float) -> None:
    """Change the level of every stem by up to +-`range_db`."""
    gains = [10 ** (random.uniform(-range_db, range_db, crops.shape[1]) / 20) for random in randoms]
    crops *= _tensor(crops, np.stack(gains))[:, :, None, None]


def flip_polarity(crops: Tensor, randoms: Randoms, share: float) -> None:
    """Invert the polarity of stems."""
    if chosen := _chosen(crops, randoms, share):
        crops[_index(crops, chosen)] *= -1


def swap_channels(crops: Tensor, randoms: Randoms, share: float) -> None:
    """Swap left and right of stems."""
    if chosen := _chosen(crops, randoms, share):
        index = _index(crops, chosen)
        crops[index] = crops[index].flip(1)


def drop_channel(crops: Tensor, randoms: Randoms, share: float) -> None:
    """Silence the left or the right channel of stems."""
    if chosen := _chosen(crops, randoms, share):
        channels = [int(randoms[crop].integers(2)) for crop, _ in chosen]
        crops[(*_index(crops, chosen), torch.tensor(channels, device=crops.device))] = 0.0


def silence_span(crops: Tensor, randoms: Randoms, share: float, sample_rate: int) -> None:
    """In a `share` of crops, silence one stem for a random span, with short fades; sometimes for all of the crop."""
    samples = crops.shape[3]
    spans: dict[tuple[int, int], NDArray[np.int64]] = {}
    for crop, random in enumerate(randoms):
        if random.random() < share:
            span = np.sort(random.integers(-samples // 2, samples + samples // 2, 2))
            spans[crop, int(random.integers(crops.shape[1]))] = span
    if spans:
        first, last = _tensor(crops, np.stack(list(spans.values())))[:, :, None, None].unbind(1)
        at = torch.arange(samples, device=crops.device)
        distance = torch.maximum(first - at, at - last)
        crops[_index(crops, list(spans))] *= (distance / round(SILENCE_FADE_S * sample_rate)).clamp(0.0, 1.0)


def leave_out(crops: Tensor, randoms: Randoms, share: float) -> None:
    """In a `share` of crops, silence one stem, or all but one: with two stems, the mixture then is a single stem."""
    silent: list[tuple[int, int]] = []
    for crop, random in enumerate(randoms):
        if random.random() < share:
            one, all_others = int(random.integers(crops.shape[1])), random.random() < 0.5
            silent += [(crop, stem) for stem in range(crops.shape[1]) if (stem == one) != all_others]
    if silent:
        crops[_index(crops, silent)] = 0.0


def make_mono(crops: Tensor, randoms: Randoms, share: float) -> None:
    """In a `share` of crops, replace both channels by their mean."""
    chosen = [crop for crop, random in enumerate(randoms) if random.random() < share]
    if chosen:
        index = torch.tensor(chosen, device=crops.device)
        crops[index] = crops[index].mean(dim=2, keepdim=True).expand(-1, -1, 2, -1)


def _chosen(crops: Tensor, randoms: Randoms, share: float) -> list[tuple[int, int]]:
    """Crop and stem of a `share` of all stems, on average."""
    return [
        (crop, int(stem))
        for crop, random in enumerate(randoms)
        for stem in np.flatnonzero(random.random(crops.shape[1]) < share)
    ]


def _index(crops: Tensor, chosen: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """The index of chosen stems."""
    crop, stem = torch.tensor(chosen, device=crops.device).unbind(1)
    return crop, stem


def _tensor(crops: Tensor, values: object) -> Tensor:
    """Drawn numbers as float32, where the crops are."""
    return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=crops.device)
