"""BSSEval version 4: the errors of an estimate in four ratios, second by second.

An estimate is decomposed into the true stem, the true stem filtered by 512 taps from channel to channel (spatial
distortion), the other stems filtered likewise (interference), and the rest (artifacts). The filters are the
least-squares solution for the whole song; energies are measured in frames of one second.

    SDR  true stem / everything else          ISR  true stem / spatial distortion
    SIR  filtered stem / interference         SAR  filtered stem and interference / artifacts

No filtered signal is computed: the energy of a frame's filtered stems is a quadratic form of the filters in the frame's
correlations, which are computed once per song; of each estimate only the error is correlated with the stems.

Sources: Vincent, Gribonval and Févotte, "Performance measurement in blind audio source separation", 2006; Stöter,
Liutkus and Ito, "The 2018 signal separation evaluation campaign", 2018. The results are those of the package museval,
the reference in practice (the tests contain some of its values); it is not used here because it needs the FFmpeg
program at import, has had no release since 2023, and solves the same equations again for every estimate.

Dimensions: S stems, C channels, N samples, L taps of a filter, J frames; R = S C rows of the true stems, Q rows of
what they are filtered towards.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FILTER_SAMPLES = 512
RIDGE = 1e-12
"""Relative to the mean energy of a channel; equal channels, as in mono, would leave the filters undetermined."""
LEAST_ARTIFACTS = 1e-12
"""Relative to the explained energy, -120 dB: anything below is rounding."""


def correlate(left: Tensor, right: Tensor, lags: int) -> Tensor:
    """Sums of ``left[r, n - k] * right[q, n]`` over n, for 0 <= k < lags: (R, N), (Q, N) float64 -> (R, Q, lags)."""
    size = 8 * lags  # a power of two where lags is one
    step = size - lags + 1  # no product then wraps round
    blocks = math.ceil(left.shape[1] / step)
    missing = blocks * step - left.shape[1]
    earlier = pad(left, (lags - 1, missing)).unfold(1, size, step)  # (R, blocks, size)
    now = pad(right, (0, missing)).unflatten(1, (blocks, step))
    past, present = torch.fft.rfft(earlier).numpy(), torch.fft.rfft(now, size).numpy().conj()
    products = past.transpose(2, 0, 1) @ present.transpose(2, 1, 0)  # (bins, R, Q); NumPy is the faster with small ones
    return torch.fft.irfft(torch.from_numpy(products).permute(1, 2, 0), size)[..., :lags].flip(2)


def _factorise(correlations: Tensor) -> tuple[Tensor, Tensor]:
    """LU decomposition of the inner products of all delayed rows, from (R, R, L): of a matrix (R L, R L)."""
    rows, _, taps = correlations.shape
    both_sides = torch.cat([correlations.transpose(0, 1)[..., 1:].flip(2), correlations], dim=2)
    delays = torch.arange(taps)
    products = both_sides[:, :, taps - 1 + delays[:, None] - delays[None, :]]  # (R, R, L, L)
    matrix = products.transpose(1, 2).reshape(rows * taps, rows * taps)
    matrix.diagonal().add_(RIDGE * matrix.diagonal().mean())
    return torch.linalg.lu_factor(matrix)


def _solve(factors: tuple[Tensor, Tensor], correlations: Tensor) -> Tensor:
    """The filters from R rows to Q that come nearest, from (R, Q, L): of the same shape."""
    rows, columns, taps = correlations.shape
    filters = torch.linalg.lu_solve(*factors, correlations.transpose(1, 2).reshape(-1, columns))
    return filters.unflatten(0, (rows, taps)).transpose(1, 2)


def _is_silent(stems: Float32) -> bool:
    """Whether the channels of any stem (S, C, n) sum to 0 at every sample; such frames have no value."""
    return bool((stems.sum(axis=1) == 0).all(axis=1).any())


@dataclass(frozen=True)
class _Correlations:
    """Of the true stems with some sound: `by_frame` (J, R, Q, L), each frame by itself; `whole` (R, Q, L), of the song;
    `energy` (J, Q), of the sound. All float64."""

    by_frame: Tensor
    whole: Tensor
    energy: Tensor


class BssEval:
    """Evaluates estimates of a song's true stems.

    Args:
        references: (S, C, N), none of them silent.
        frame_samples: length and hop of a frame, more than `taps`; the remainder at the end is ignored.
    """

    def __init__(self, references: Float32, frame_samples: int, taps: int = FILTER_SAMPLES) -> None:
        stems, channels, samples = references.shape
        self.references, self.frame_samples, self.taps = references, frame_samples, taps
        self.frames = max(1, samples // frame_samples)
        self._rows = torch.from_numpy(references.reshape(stems * channels, samples))
        self._stems = self._correlate(self._rows_of)
        self._all = _factorise(self._stems.whole)
        self._own = [_factorise(self._stems.whole[part, part]) for part in self._parts()]

    def evaluate(self, estimates: Float32) -> Float64:
        """SDR, ISR, SIR and SAR in dB of estimates (S, C, N): (4, S, J).

        NaN in frames in which any reference or estimate is silent, and for infinite ratios; SAR is at most 120 dB.
        """
        stems, channels, samples = self.references.shape
        if estimates.shape != self.references.shape:
            raise ValueError(f"expected estimates {self.references.shape}, got {estimates.shape}")
        heard = torch.from_numpy(estimates.reshape(stems * channels, samples))
        errors = self._correlate(lambda part: heard[:, part].double() - self._rows_of(part))
        explained = _solve(self._all, errors.whole)  # of the error: (R, Q, L)
        spatial = torch.zeros_like(explained)
        for factors, part in zip(self._own, self._parts(), strict=True):
            spatial[part, part] = _solve(factors, errors.whole[part, part])
        itself = torch.zeros_like(explained)
        itself[..., 0] = torch.eye(stems * channels)
        signals = [self._stems.energy, self._stems.energy, *self._energies(itself + spatial, itself + explained)]
        distorted, interference, of_explained = self._energies(spatial, explained - spatial, explained)
        common = torch.einsum("jrqk,rqk->jq", errors.by_frame, explained)
        artifacts = (errors.energy - 2 * common + of_explained).maximum(LEAST_ARTIFACTS * signals[3])
        noises = [errors.energy, distorted, interference, artifacts]
        powers = [torch.stack(told).unflatten(2, (stems, channels)).sum(dim=3).numpy() for told in (signals, noises)]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = 10 * np.log10(powers[0] / powers[1]).transpose(0, 2, 1)
        ratios[~np.isfinite(ratios)] = np.nan
        for frame in range(self.frames):
            part = np.s_[..., frame * self.frame_samples : (frame + 1) * self.frame_samples]
            if _is_silent(self.references[part]) or _is_silent(estimates[part]):
                ratios[..., frame] = np.nan
        return ratios

    def _correlate(self, sound: Callable[[slice], Tensor]) -> _Correlations:
        """`sound`: its samples (Q, n) in float64, by where they are."""
        frames, energies = [], []
        whole = torch.zeros(())
        last = self._rows_of(slice(0, 0))
        for start in range(0, self._rows.shape[1], self.frame_samples):
            part = slice(start, start + self.frame_samples)
            rows, now = self._rows_of(part), sound(part)
            frames.append(correlate(rows, now, self.taps))
            energies.append(now.square().sum(dim=1))
            first = now[:, : self.taps - 1]
            across = pad(last, (0, first.shape[1])), pad(first, (last.shape[1], 0))
            whole = whole + frames[-1] + correlate(*across, self.taps)
            last = rows[:, 1 - self.taps :]
        return _Correlations(torch.stack(frames[: self.frames]), whole, torch.stack(energies[: self.frames]))

    def _energies(self, *filters: Tensor) -> list[Tensor]:
        """Of what filters (R, Q, L) make of the true stems, frame by frame: (J, Q) of each."""
        taps = self.taps
        spectra = torch.fft.rfft(torch.cat(filters, dim=1), 2 * taps)
        products = torch.fft.irfft(spectra[:, None] * spectra.conj()[None], 2 * taps)[..., :taps]  # (R, R, Q, L)
        products[..., 1:] *= 2  # a pair of rows and a lag stand for the same pair turned round and the lag before zero
        energies = self._stems.by_frame.flatten(1) @ products.transpose(2, 3).flatten(0, 2)
        return list(energies.split(filters[0].shape[1], dim=1))

    def _rows_of(self, part: slice) -> Tensor:
        """The true stems (R, n) in float64."""
        return self._rows[:, part].double()

    def _parts(self) -> list[slice]:
        """The rows of each stem."""
        stems, channels, _ = self.references.shape
        return [slice(stem * channels, (stem + 1) * channels) for stem in range(stems)]
