"""BSSEval version 4: what an estimate lacks, second by second, told apart into four ratios.

An estimate is taken as the true stem, plus what filters of 512 taps from channel to channel make of the true stem
(spatial distortion), plus what such filters make of the other stems (interference), plus the rest (artifacts). The
filters are those that come nearest to the estimate over the whole song; energies are counted in frames of a second.

    SDR  true stem / everything else          ISR  true stem / spatial distortion
    SIR  filtered stem / interference         SAR  filtered stem and interference / artifacts

Sources: Vincent, Gribonval and Févotte, "Performance measurement in blind audio source separation", 2006; Stöter,
Liutkus and Ito, "The 2018 signal separation evaluation campaign", 2018. The figures are those of the package museval,
which defines them in practice (the tests hold some of its own); it is not used here because it loads FFmpeg's program
at import, has had no release since 2023, and solves the same equations anew for every estimate.

Dimensions: S stems, C channels, N samples, L taps of a filter, J frames.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Complex128 = NDArray[np.complex128]

FILTER_SAMPLES = 512
RIDGE = 1e-12
"""Of the mean energy of a channel, so that two equal channels, as in mono, do not leave the filters undetermined."""


def correlate(left: Float32, right: Float32, lags: int) -> Float64:
    """Sums of ``left[r, n + k] * right[q, n]`` over n, for -lags < k < lags: (R, N), (Q, N) -> (R, Q, 2 lags - 1)."""
    margin = lags - 1
    size = 1 << (16 * lags - 1).bit_length()
    step = size - 2 * margin  # no product then wraps round
    total = np.zeros((len(left), len(right), size // 2 + 1), np.complex128)
    for start in range(0, left.shape[1], step):
        first = max(0, start - margin)
        wide = np.zeros((len(left), size))
        part = left[:, first : start + step + margin]
        wide[:, first - start + margin :][:, : part.shape[1]] = part
        narrow = right[:, start : start + step].astype(np.float64)
        total += np.fft.rfft(wide)[:, None] * np.fft.rfft(narrow, size).conj()
    return np.fft.irfft(total, size)[..., : 2 * margin + 1]


def _factorise(correlations: Float64) -> tuple[Tensor, Tensor]:
    """LU decomposition of the inner products of all delayed rows, from (R, R, 2 L - 1): of a matrix (R L, R L)."""
    rows, taps = len(correlations), (correlations.shape[2] + 1) // 2
    delays = np.arange(taps)
    products = correlations[:, :, taps - 1 + delays[None, :] - delays[:, None]]  # (R, R, L, L)
    matrix = np.ascontiguousarray(products.transpose(0, 2, 1, 3)).reshape(rows * taps, rows * taps)
    matrix.flat[:: len(matrix) + 1] += RIDGE * float(np.trace(matrix)) / len(matrix)
    return torch.linalg.lu_factor(torch.from_numpy(matrix))


def _solve(factors: tuple[Tensor, Tensor], correlations: Float64) -> Float64:
    """The filters from R rows to Q that come nearest, from (R, Q, 2 L - 1): (R, Q, L)."""
    rows, columns, lags = correlations.shape
    taps = (lags + 1) // 2
    products = np.ascontiguousarray(correlations[:, :, taps - 1 :: -1].transpose(0, 2, 1)).reshape(-1, columns)
    filters = torch.linalg.lu_solve(*factors, torch.from_numpy(products)).numpy()
    return filters.reshape(rows, taps, columns).transpose(0, 2, 1)


def _energy(spectrum: Complex128) -> float:
    """Of the signals whose rfft of an even size this is (C, bins), but for a constant factor."""
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return float(2 * power.sum() - power[:, 0].sum() - power[:, -1].sum())


def _is_silent(stems: Float32) -> bool:
    """Whether the channels of any stem (S, C, n) cancel out at every sample; frames in which they do are not judged."""
    return bool((stems.sum(axis=1) == 0).all(axis=1).any())


class BssEval:
    """A song's true stems, ready to judge estimates of them.

    Args:
        references: (S, C, N), none of them silent.
        frame_samples: length of a frame and distance to the next; what is left over at the end is not judged.
    """

    def __init__(self, references: Float32, frame_samples: int, taps: int = FILTER_SAMPLES) -> None:
        stems, channels, samples = references.shape
        self.references, self.frame_samples, self.taps = references, frame_samples, taps
        self.frames = max(1, samples // frame_samples)
        self._rows = references.reshape(stems * channels, samples)
        products = correlate(self._rows, self._rows, taps)
        self._all = _factorise(products)
        self._own = [_factorise(products[part, part]) for part in self._parts()]

    def judge(self, estimates: Float32) -> Float64:
        """SDR, ISR, SIR and SAR in dB of estimates (S, C, N): (4, S, J).

        NaN in frames in which any reference or estimate is silent, and where a ratio has no end.
        """
        stems, channels, samples = self.references.shape
        if estimates.shape != self.references.shape:
            raise ValueError(f"expected estimates {self.references.shape}, got {estimates.shape}")
        size = 1 << (min(samples, self.frame_samples) + self.taps - 2).bit_length()
        products = correlate(self._rows, estimates.reshape(stems * channels, samples), self.taps)
        whole = np.fft.rfft(_solve(self._all, products), size)  # (S C, S C, bins): from references to estimates
        own = [
            np.fft.rfft(_solve(factors, products[part, part]), size)
            for factors, part in zip(self._own, self._parts(), strict=True)
        ]
        ratios = np.full((4, stems, self.frames), np.nan)
        for frame in range(self.frames):
            part = np.s_[..., frame * self.frame_samples : (frame + 1) * self.frame_samples]
            if _is_silent(self.references[part]) or _is_silent(estimates[part]):
                continue
            truth = np.fft.rfft(self.references[part].astype(np.float64), size)
            heard = np.fft.rfft(estimates[part].astype(np.float64), size)
            sources = truth.reshape(stems * channels, -1)
            explained = np.einsum("rqf,rf->qf", whole, sources).reshape(truth.shape)
            for stem in range(stems):
                filtered = np.einsum("rqf,rf->qf", own[stem], truth[stem])
                ratios[:, stem, frame] = _decibels(truth[stem], filtered, explained[stem], heard[stem])
        return ratios

    def _parts(self) -> list[slice]:
        """The rows of each stem."""
        stems, channels, _ = self.references.shape
        return [slice(stem * channels, (stem + 1) * channels) for stem in range(stems)]


def _decibels(truth: Complex128, filtered: Complex128, explained: Complex128, heard: Complex128) -> Float64:
    """The four ratios of one stem in one frame, all spectra (C, bins)."""
    signal = np.array([_energy(part) for part in (truth, truth, filtered, explained)])
    errors = (heard - truth, filtered - truth, explained - filtered, heard - explained)
    noise = np.array([_energy(part) for part in errors])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = 10 * np.log10(signal / noise)
    return np.where(np.isfinite(ratios), ratios, np.nan)
