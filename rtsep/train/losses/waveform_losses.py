"""Losses on waveforms: differentiable synthesis as in playback, and the losses.

Dimensions: B crops, S stems, C channels, F bins of the network, T frames, N samples of a crop, M samples that count.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from rtsep.dsp.windows import hann_periodic, synthesis_window
from rtsep.nn.contract import spread_high_band
from rtsep.recipe import Stft
from rtsep.timebase import synthesis_support

RESOLUTIONS = (512, 1024, 2048)
"""Window lengths of the multi-resolution loss, in samples; the hop is a quarter of it."""
LOG_FLOOR = 1e-3  # of the mixture's RMS magnitude: 60 dB below it is silence


def loss_samples(frames: int, warmup_frames: int, stft: Stft) -> slice:
    """The samples of a crop that every synthesis mode computes from frames after the warm-up alone."""
    before = stft.n_fft // stft.hop - 1
    return slice((warmup_frames + before) * stft.hop, frames * stft.hop)


def synthesise(masks: Tensor, mixture: Tensor, top_bin: Tensor, counted: slice, stft: Stft, latency: str) -> Tensor:
    """Differentiable synthesis in a latency mode: masks (B, S, C, F + 1, T), mixture (B, C, N) -> (B, S, C, M).

    The same samples as `rtsep.dsp.song_stft.synthesise`, but without the bins from `top_bin` (B,) up, where
    the crop's source has no signal. `counted`: from `loss_samples`.
    """
    batch, stems, channels, _, frames = masks.shape
    analysis = hann_periodic(stft.n_fft)
    spectrum = torch.stft(
        mixture.flatten(0, 1),
        stft.n_fft,
        stft.hop,
        window=torch.from_numpy(analysis).to(mixture.device),
        center=False,
        return_complex=True,
    ).unflatten(0, (batch, 1, channels))
    support = synthesis_support(latency, stft.n_fft, stft.hop)
    window = torch.from_numpy(synthesis_window(analysis, stft.hop, support)).to(mixture.device)
    skipped = stft.n_fft - support  # the synthesis window covers the end of a frame alone
    known = torch.arange(spectrum.shape[-2], device=mixture.device) < top_bin[:, None]
    masked = spread_high_band(masks, spectrum.shape[-2]) * (spectrum * known[:, None, None, :, None])
    pieces = torch.fft.irfft(masked, stft.n_fft, dim=-2)[..., skipped:, :]
    length = (frames - 1) * stft.hop + support
    whole = F.fold(
        (pieces * window[:, None]).flatten(0, 2), (1, length), kernel_size=(1, support), stride=(1, stft.hop)
    )
    return whole.view(batch, stems, channels, length)[..., counted.start - skipped : counted.stop - skipped]


def low_pass(stems: Tensor, top_bin: Tensor, counted: slice, stft: Stft, latency: str) -> Tensor:
    """True stems without the bins from `top_bin` up, as perfect masks would give: (B, S, C, N) -> (B, S, C, M)."""
    if bool((top_bin > stft.n_fft // 2).all()):
        return stems[..., counted]
    batch, count, channels, samples = stems.shape
    frames = (samples - stft.n_fft) // stft.hop + 1
    ones = stems.new_ones(()).expand(batch * count, 1, channels, stft.bins + 1, frames)
    whole = synthesise(ones, stems.flatten(0, 1), top_bin.repeat_interleave(count), counted, stft, latency)
    return whole.view(batch, count, channels, -1)


def waveform(estimates: Tensor, references: Tensor) -> Tensor:
    """Mean |estimate - reference| relative to the mixture's RMS: two (B, S, C, M) -> (B, S).

    The loss of Demucs (Defossez et al. 2019, arXiv:1911.13254).
    """
    level = references.sum(dim=1).square().mean(dim=(1, 2)).sqrt().clamp(min=1e-6)
    return (estimates - references).abs().mean(dim=(2, 3)) / level[:, None]


def multi_resolution(estimates: Tensor, references: Tensor) -> Tensor:
    """Multi-resolution STFT loss, linear and logarithmic magnitudes: two (B, S, C, M) -> (B, S).

    Spectral convergence and log magnitude distance of Yamamoto et al. 2020 (arXiv:1910.11480), both relative to the
    mixture rather than to the stem, which may be silent.
    """
    total = estimates.new_zeros(estimates.shape[:2])
    for size in RESOLUTIONS:
        mixture = _magnitudes(references.sum(dim=1, keepdim=True), size)
        level = mixture.square().mean(dim=2, keepdim=True).sqrt().clamp(min=1e-6)  # (B, 1, 1)
        found, wanted = _magnitudes(estimates, size) / level, _magnitudes(references, size) / level
        convergence = torch.linalg.vector_norm(found - wanted, dim=2) / wanted.shape[2] ** 0.5
        distance = ((found + LOG_FLOOR).log() - (wanted + LOG_FLOOR).log()).abs().mean(dim=2)
        total = total + (convergence + distance) / len(RESOLUTIONS)
    return total


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"waveform": waveform, "multi_resolution": multi_resolution}


def _magnitudes(waves: Tensor, size: int) -> Tensor:
    """All magnitudes of each stem, flattened: (B, S, C, M) -> (B, S, C * bins * frames)."""
    window = torch.hann_window(size, device=waves.device)
    spectrum = torch.stft(waves.flatten(0, 2), size, size // 4, window=window, center=False, return_complex=True)
    return spectrum.abs().unflatten(0, waves.shape[:3]).flatten(2)
