"""What masks are judged by in the spectrum: the masked mixture against the true stems, one function a loss.

A recipe's [train.losses] names them and weighs them; `rtsep.train.losses.criterion` adds them up. Every function takes
masks
and a target, and gives for each crop and stem the mean error over what is judged of it: (B, S).

Dimensions: B crops, T judged frames, F judged bins, S stems, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rtsep.recipe import Stft
from rtsep.train_settings import Train

HIGH_BAND_STRIDE = 4  # one gain rules the whole band above the network's bins: a quarter of them says enough
LEAST_ERROR = 1e-3  # of the mixture's energy: what lies 30 dB below it need not be improved
COMPRESSION = 0.3


@dataclass(frozen=True)
class Target:
    """What masks are to reach. `mixture` complex (B, T, F, C), scaled so that its mean square magnitude is 1; `stems`
    complex (B, S, T, F, C), scaled alike; `weight` (B, F) of the bins, zero where nothing is judged."""

    mixture: Tensor
    stems: Tensor
    weight: Tensor


def separation(masks: Tensor, target: Target) -> Tensor:
    """|M X - S| plus the difference of square-root magnitudes: (B, T, S, F, C) -> (B, S).

    The first is small where most bins are right, the second keeps the quiet ones honest. Both forgive a mask that is
    sure and wrong more than the signal-to-distortion ratio does, see `log_energy`. Our own.
    """
    size, power = target.mixture.abs(), _power(target.mixture)

    def error(mask: Tensor, stem: Tensor) -> Tensor:
        distortion = (_squared_error(mask, target.mixture, power, stem) + 1e-6).sqrt()
        return distortion + ((mask * size + 1e-4).sqrt() - (stem.abs() + 1e-4).sqrt()).abs()

    return _of_each_stem(error, masks, target)


def log_energy(masks: Tensor, target: Target) -> Tensor:
    """log10 of the error's energy as a share of the mixture's: (B, T, S, F, C) -> (B, S).

    The signal-to-distortion ratio but for its sign, its 10 dB, and the stem's own level, which no mask can change.
    """
    power = _power(target.mixture)
    errors = _of_each_stem(lambda mask, stem: _squared_error(mask, target.mixture, power, stem), masks, target)
    whole = _mean(power, target.weight).clamp(min=1e-9)
    return (errors / whole[:, None] + LEAST_ERROR).log10()


def magnitude(masks: Tensor, target: Target) -> Tensor:
    """|M |X| - |S||: (B, T, S, F, C) -> (B, S). The loss of Spleeter (Hennequin et al. 2020) and of carperbr."""
    size = target.mixture.abs()
    return _of_each_stem(lambda mask, stem: (mask * size - stem.abs()).abs(), masks, target)


def compressed(masks: Tensor, target: Target) -> Tensor:
    """(M |X|)^0.3 against |S|^0.3, squared: (B, T, S, F, C) -> (B, S). Loudness as the ear hears it, so that quiet
    bins count; Ephrat et al. 2018, arXiv:1804.03619."""
    size = target.mixture.abs()

    def error(mask: Tensor, stem: Tensor) -> Tensor:
        return ((mask * size + 1e-4) ** COMPRESSION - (stem.abs() + 1e-4) ** COMPRESSION).square()

    return _of_each_stem(error, masks, target)


def complex_plane(masks: Tensor, target: Target) -> Tensor:
    """|M X - S|, the mixture's phase and all: (B, T, S, F, C) -> (B, S)."""
    power = _power(target.mixture)
    return _of_each_stem(
        lambda mask, stem: (_squared_error(mask, target.mixture, power, stem) + 1e-6).sqrt(), masks, target
    )


LOSSES: dict[str, Callable[[Tensor, Target], Tensor]] = {
    "separation": separation,
    "log_energy": log_energy,
    "magnitude": magnitude,
    "compressed": compressed,
    "complex": complex_plane,
}


def judged_bins(stft: Stft, device: torch.device) -> Tensor:
    """The bins of the spectrum that are judged: all that the network sees, then some of the band above."""
    high = torch.arange(stft.bins, stft.n_fft // 2 + 1, HIGH_BAND_STRIDE, device=device)
    return torch.cat([torch.arange(stft.bins, device=device), high])


def bin_weights(bins: Tensor, stft: Stft, train: Train) -> Tensor:
    """How much each of the judged bins (F,) counts, 1 on average: (F,).

    `auditory` divides by the width of the ear's filter at the bin, the equivalent rectangular bandwidth of Glasberg
    and Moore 1990, so that every filter counts the same.
    """
    hertz = bins * (stft.sample_rate / stft.n_fft)
    weights = torch.ones_like(hertz)
    for from_hz, weight in train.band_weights:
        weights[hertz >= from_hz] = weight
    if train.auditory:
        weights = weights / (24.7 * (4.37e-3 * hertz + 1))
    return weights / weights.mean()


def spectra(waves: Tensor, stft: Stft, bins: Tensor) -> Tensor:
    """(B, C, N) -> complex (B, T, F, C) at the chosen bins; frames wholly inside the signal, no padding."""
    batch, channels, samples = waves.shape
    window = torch.hann_window(stft.n_fft, device=waves.device)
    result = torch.stft(
        waves.reshape(batch * channels, samples), stft.n_fft, stft.hop, window=window, center=False, return_complex=True
    )
    return torch.stack(result.unflatten(0, (batch, channels)).transpose(2, 3)[..., bins].unbind(1), dim=-1)


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _squared_error(mask: Tensor, mixture: Tensor, power: Tensor, stem: Tensor) -> Tensor:
    """|M X - S|^2, (B, T, F, C), without a complex number on the way back; `power` is |X|^2."""
    common = mixture.real * stem.real + mixture.imag * stem.imag
    return torch.addcmul(_power(stem), mask, mask * power - 2 * common).clamp(min=0)


def _mean(error: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of (B, T, F, C) with (B, F): (B,)."""
    return (error.mean(dim=(1, 3)) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-6)


def _of_each_stem(error: Callable[[Tensor, Tensor], Tensor], masks: Tensor, target: Target) -> Tensor:
    """Means of `error` (mask, stem) -> (B, T, F, C), stem by stem, which needs the memory of one: (B, S)."""
    stems = range(masks.shape[2])
    return torch.stack([_mean(error(masks[:, :, s], target.stems[:, s]), target.weight) for s in stems], dim=1)
