"""What a mask is judged by: the masked mixture against the true stem, in the complex plane and as loudness.

Dimensions: B batch, T frames, F judged bins, S stems, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rtsep.recipe import Stft

HIGH_BAND_STRIDE = 4  # one gain rules the whole band above the network's bins: a quarter of them says enough


def spectra(waves: Tensor, stft: Stft) -> Tensor:
    """(B, C, N) -> complex (B, T, bins, C), frames wholly inside the signal, no padding."""
    batch, channels, samples = waves.shape
    window = torch.hann_window(stft.n_fft, device=waves.device)
    result = torch.stft(
        waves.reshape(batch * channels, samples), stft.n_fft, stft.hop, window=window, center=False, return_complex=True
    )
    return result.view(batch, channels, *result.shape[1:]).permute(0, 3, 2, 1).contiguous()


def judged_bins(stft: Stft, device: torch.device) -> tuple[Tensor, Tensor]:
    """Indices of the judged bins of the spectrum, and the row of the mask that rules each."""
    low = torch.arange(stft.bins, device=device)
    high = torch.arange(stft.bins, stft.n_fft // 2 + 1, HIGH_BAND_STRIDE, device=device)
    return torch.cat([low, high]), torch.cat([low, torch.full_like(high, stft.bins)])


def separation_loss(masks: Tensor, mixture: Tensor, stems: Tensor, weight: Tensor) -> Tensor:
    """Mean error of every stem: |M X - S| plus the difference of square-root magnitudes.

    The first follows what is heard as signal-to-distortion ratio, the second keeps the quiet bins honest.

    Args:
        masks: (B, T, F, S, C) real.
        mixture: (B, T, F, C) complex, scaled so that its mean square magnitude is 1.
        stems: (B, T, F, S, C) complex, scaled alike.
        weight: (B, T, F) zero where nothing is judged.
    """
    estimate = masks * mixture.unsqueeze(3)
    error = torch.view_as_real(estimate - stems).square().sum(dim=-1)
    distortion = (error + 1e-8).sqrt()
    magnitude = masks * mixture.abs().unsqueeze(3)
    loudness = ((magnitude + 1e-4).sqrt() - (stems.abs() + 1e-4).sqrt()).abs()
    per_bin = (distortion + loudness).mean(dim=(3, 4))
    return (per_bin * weight).sum() / weight.sum().clamp(min=1)
