"""What a mask is judged by: the masked mixture against the true stem, in the complex plane and as loudness.

Dimensions: B batch, T frames, F judged bins, S stems, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rtsep.recipe import Stft

HIGH_BAND_STRIDE = 4  # one gain rules the whole band above the network's bins: a quarter of them says enough

LEAST_ERROR = 1e-3  # of the mixture's energy: what lies 30 dB below it need not be improved


def spectra(waves: Tensor, stft: Stft, bins: Tensor) -> Tensor:
    """(B, C, N) -> complex (B, T, F, C) at the chosen bins; frames wholly inside the signal, no padding."""
    batch, channels, samples = waves.shape
    window = torch.hann_window(stft.n_fft, device=waves.device)
    result = torch.stft(
        waves.reshape(batch * channels, samples), stft.n_fft, stft.hop, window=window, center=False, return_complex=True
    )
    return torch.stack(result.unflatten(0, (batch, channels)).transpose(2, 3)[..., bins].unbind(1), dim=-1)


def judged_bins(stft: Stft, device: torch.device) -> Tensor:
    """The bins of the spectrum that are judged: all that the network sees, then some of the band above."""
    high = torch.arange(stft.bins, stft.n_fft // 2 + 1, HIGH_BAND_STRIDE, device=device)
    return torch.cat([torch.arange(stft.bins, device=device), high])


def separation_loss(
    masks: Tensor, mixture: Tensor, stems: Tensor, weight: Tensor, energy_weight: float = 0.0
) -> Tensor:
    """Mean error of every stem: |M X - S| plus the difference of square-root magnitudes.

    The first is small where most bins are right, the second keeps the quiet ones honest. Both forgive a mask that is
    sure and wrong more than the signal-to-distortion ratio does: `energy_weight` times the mean logarithm (base 10) of
    each crop's and stem's error energy, against the mixture's, adds that ratio itself.

    Args:
        masks: (B, T, S, F, C) real, their sum over the stems is 1.
        mixture: (B, T, F, C) complex, scaled so that its mean square magnitude is 1.
        stems: (B, S, T, F, C) complex, scaled alike.
        weight: (B, T, F) zero where nothing is judged.
    """
    magnitude = mixture.abs()
    power = magnitude.square()
    total, energy = masks.new_zeros(()), masks.new_zeros(())
    reference = (power.sum(dim=-1) * weight).sum(dim=(1, 2)).clamp(min=1e-6)
    for index in range(masks.shape[2]):
        mask, stem = masks[:, :, index], stems[:, index]
        stem_magnitude = stem.abs()
        common = mixture.real * stem.real + mixture.imag * stem.imag
        error = torch.addcmul(stem_magnitude.square(), mask, mask * power - 2 * common)
        distortion = (error.clamp(min=0) + 1e-6).sqrt()
        loudness = ((mask * magnitude + 1e-4).sqrt() - (stem_magnitude + 1e-4).sqrt()).abs()
        total = total + ((distortion + loudness).sum(dim=-1) * weight).sum()
        if energy_weight:
            share = (error.clamp(min=0).sum(dim=-1) * weight).sum(dim=(1, 2)) / reference
            energy = energy + (share + LEAST_ERROR).log10().mean() / masks.shape[2]
    return total / (weight.sum().clamp(min=1) * masks.shape[2] * masks.shape[4]) + energy_weight * energy
