"""Losses on spectra: the masked mixture against the true stems, one function for each loss.

A recipe's [train.losses] names and weights them; `rtsep.train.losses.criterion` adds them up. Every function takes
masks and a target, and returns the mean error of each crop and stem: (B, S).

Dimensions: B crops, T frames after the warm-up, F bins that count, S stems, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rtsep.recipe import Stft
from rtsep.train_settings import Train

HIGH_BAND_STRIDE = 4  # one gain controls the whole band above the network's bins: a quarter of its bins is enough
LEAST_ERROR = 1e-3  # of the mixture's energy: errors 30 dB below it need no improvement
COMPRESSION = 0.3


@dataclass(frozen=True)
class Target:
    """The target of a batch.

    Attributes:
        mixture: complex (B, T, F, C), scaled to a mean square magnitude of 1.
        stems: complex (B, S, T, F, C), scaled by the same factor.
        weight: (B, F), of the bins; 0 for bins that do not count.
    """

    mixture: Tensor
    stems: Tensor
    weight: Tensor


def separation(masks: Tensor, target: Target) -> Tensor:
    """|M X - S| plus the difference of square-root magnitudes: (B, T, S, F, C) -> (B, S). Our own.

    The second term keeps quiet bins accurate. Both penalise a confident wrong mask less than the signal-to-distortion
    ratio does; see `log_energy`.
    """
    size, power = target.mixture.abs(), _power(target.mixture)

    def error(mask: Tensor, stem: Tensor) -> Tensor:
        distortion = (_squared_error(mask, target.mixture, power, stem) + 1e-6).sqrt()
        return distortion + ((mask * size + 1e-4).sqrt() - (stem.abs() + 1e-4).sqrt()).abs()

    return _of_each_stem(error, masks, target)


def log_energy(masks: Tensor, target: Target) -> Tensor:
    """log10 of the error's energy relative to the mixture's: (B, T, S, F, C) -> (B, S).

    Equals the signal-to-distortion ratio except for the sign, the factor of 10 and the stem's level, which is constant.
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
    """((M |X|)^0.3 - |S|^0.3)^2: (B, T, S, F, C) -> (B, S).

    Compressed like perceived loudness, so that quiet bins count; Ephrat et al. 2018, arXiv:1804.03619.
    """
    size = target.mixture.abs()

    def error(mask: Tensor, stem: Tensor) -> Tensor:
        return ((mask * size + 1e-4) ** COMPRESSION - (stem.abs() + 1e-4) ** COMPRESSION).square()

    return _of_each_stem(error, masks, target)


def complex_plane(masks: Tensor, target: Target) -> Tensor:
    """|M X - S| in the complex plane: (B, T, S, F, C) -> (B, S)."""
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


def loss_bins(stft: Stft, device: torch.device) -> Tensor:
    """The bins that count: all bins of the network's input, then some of the band above."""
    high = torch.arange(stft.bins, stft.n_fft // 2 + 1, HIGH_BAND_STRIDE, device=device)
    return torch.cat([torch.arange(stft.bins, device=device), high])


def bin_weights(bins: Tensor, stft: Stft, train: Train) -> Tensor:
    """Weights of the bins (F,) that count, 1 on average: (F,).

    `auditory` divides by the equivalent rectangular bandwidth (Glasberg and Moore 1990) of the auditory filter at the
    bin, so that every filter counts the same.
    """
    hertz = bins * (stft.sample_rate / stft.n_fft)
    weights = torch.ones_like(hertz)
    for from_hz, weight in train.band_weights:
        weights[hertz >= from_hz] = weight
    if train.auditory:
        weights = weights / (24.7 * (4.37e-3 * hertz + 1))
    return weights / weights.mean()


def spectra(waves: Tensor, stft: Stft, bins: Tensor) -> Tensor:
    """STFT of (B, C, N) at some bins: complex (B, T, F, C); frames inside the signal alone, no padding."""
    batch, channels, samples = waves.shape
    window = torch.hann_window(stft.n_fft, device=waves.device)
    result = torch.stft(
        waves.reshape(batch * channels, samples), stft.n_fft, stft.hop, window=window, center=False, return_complex=True
    )
    return torch.stack(result.unflatten(0, (batch, channels)).transpose(2, 3)[..., bins].unbind(1), dim=-1)


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _squared_error(mask: Tensor, mixture: Tensor, power: Tensor, stem: Tensor) -> Tensor:
    """|M X - S|^2, (B, T, F, C), with a real backward pass; `power` is |X|^2."""
    common = mixture.real * stem.real + mixture.imag * stem.imag
    return torch.addcmul(_power(stem), mask, mask * power - 2 * common).clamp(min=0)


def _mean(error: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of (B, T, F, C) with (B, F): (B,)."""
    return (error.mean(dim=(1, 3)) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-6)


def _of_each_stem(error: Callable[[Tensor, Tensor], Tensor], masks: Tensor, target: Target) -> Tensor:
    """Means of `error` (mask, stem) -> (B, T, F, C) for each stem in turn, to save memory: (B, S)."""
    stems = range(masks.shape[2])
    return torch.stack([_mean(error(masks[:, :, s], target.stems[:, s]), target.weight) for s in stems], dim=1)
