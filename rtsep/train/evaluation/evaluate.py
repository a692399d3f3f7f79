"""Evaluate a network on songs with known stems: whole songs, seconds, and pauses.

Three reference systems are scored too: the mixture itself, the mixture at the best constant gain <m, s>/<m, m>, and the
ideal ratio mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from rtsep.dsp.song_stft import analyse, synthesise
from rtsep.nn.contract import StreamingNetwork
from rtsep.recipe import Stft
from rtsep.train.data.songs import Song
from rtsep.train.evaluation.bss_eval import BssEval
from rtsep.train.evaluation.scores import Row

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Complex64 = NDArray[np.complex64]
CPU = torch.device("cpu")
SILENT_RMS = 10 ** (-60 / 20)
LEAST_PAUSE_DB = -120.0  # reported for (nearly) silent estimates


def decibels(ratio: float) -> float:
    """10 log10 of a power ratio; may be infinite."""
    return -math.inf if ratio <= 0 else math.inf if math.isinf(ratio) else 10 * math.log10(ratio)


def energy(x: Float32) -> float:
    """Sum of squares, in double precision."""
    return float(np.sum(np.square(x, dtype=np.float64)))


def sdr_db(reference: Float32, estimate: Float32) -> float:
    """Whole-signal ratio of reference to error ("uSDR"), both (C, N)."""
    error = energy(reference - estimate)
    return decibels(energy(reference) / error if error else math.inf)


def best_gain(mixture: Float32, reference: Float32) -> float:
    """The constant gain of the mixture with the least squared error."""
    return float(np.vdot(mixture.astype(np.float64), reference.astype(np.float64))) / max(energy(mixture), 1e-20)


def network_masks(network: StreamingNetwork, frames: Complex64, chunk: int, device: torch.device = CPU) -> Float32:
    """Masks (S, C, F + 1, T) with chunks of `chunk` frames, 0: one chunk. `device`: the network's.

    The last chunk is completed with silence, as in a stream.
    """
    magnitudes = np.abs(frames[:, :, : network.bins]).transpose(1, 2, 0)
    missing = -len(frames) % chunk if chunk else 0
    heard = F.pad(torch.from_numpy(magnitudes)[None], (0, missing)).to(device)
    with torch.inference_mode():
        masks = network.forward(heard, chunk=chunk or None)
    return masks[0, ..., : len(frames)].cpu().numpy()


def ideal_ratio_masks(stems: Float32, stft: Stft) -> Float32:
    """The power-ratio masks of the true stems (S, C, N), one row a bin and one for the band above: (S, C, F + 1, T)."""

    def of(stem: Float32) -> Float32:
        """(T, C, F + 1)."""
        spectra = analyse(stem, stft.n_fft, stft.hop)
        power = np.square(spectra.real) + np.square(spectra.imag)
        return np.concatenate([power[..., : stft.bins], power[..., stft.bins :].sum(axis=2, keepdims=True)], axis=2)

    rows = np.stack([of(stem) for stem in stems])
    rows /= np.maximum(rows.sum(axis=0), 1e-12)
    return rows.transpose(0, 2, 3, 1)


def is_silent(x: Float32) -> bool:
    """Whether a signal (C, N) is below -60 dBFS."""
    return energy(x) <= SILENT_RMS**2 * x.size


def pause_level_db(mixture: Float32, reference: Float32, estimate: Float32, second: int) -> float | None:
    """Level of the estimate relative to the mixture in the seconds with a silent reference; None without any."""
    left = right = 0.0
    for start in range(0, mixture.shape[1] - second + 1, second):
        part = slice(start, start + second)
        if is_silent(reference[:, part]) and not is_silent(mixture[:, part]):
            left += energy(estimate[:, part])
            right += energy(mixture[:, part])
    return max(LEAST_PAUSE_DB, decibels(left / right)) if right else None


class SongEvaluator:
    """Scores separations of one song.

    Attributes:
        stems: (S, C, N); mixture: (C, N), their sum.
    """

    def __init__(self, song: Song, names: Iterable[str], sample_rate: int) -> None:
        self.song, self.names, self.second = song, tuple(names), sample_rate
        self.stems = song.segment(0, song.samples)
        self.mixture = self.stems.sum(axis=0)
        self._known = song.known or (True,) * len(self.stems)
        self._sounding = [index for index, stem in enumerate(self.stems) if self._known[index] and not is_silent(stem)]
        self._bss = BssEval(self.stems[self._sounding], self.second) if self._sounding else None

    def rows(self, system: str, latency: str | None, estimates: Float32) -> Iterator[Row]:
        """A row for each known stem; `estimates` (S, C, N).

        If a stem is unknown, interference and artifacts cannot be distinguished: rows then have neither SIR nor SAR.
        """
        medians: dict[int, list[float | None]] = {}
        if self._bss is not None:
            frames = self._bss.evaluate(estimates[self._sounding])
            medians = {index: [_median(x) for x in frames[:, at]] for at, index in enumerate(self._sounding)}
        for index, stem in enumerate(self.names):
            if not self._known[index]:
                continue
            reference, estimate = self.stems[index], estimates[index]
            sounds = index in medians
            sdr, isr, sir, sar = medians.get(index, [None] * 4)
            yield Row(
                *(self.song.source.folder, self.song.name, stem, system, latency, int(sounds)),
                sdr_db=sdr_db(reference, estimate) if sounds else None,
                median_sdr_db=sdr,
                median_isr_db=isr,
                median_sir_db=sir if all(self._known) else None,
                median_sar_db=sar if all(self._known) else None,
                pause_db=pause_level_db(self.mixture, reference, estimate, self.second),
            )


def _median(values: Float64) -> float | None:
    """The median over the frames that have a value."""
    finite = values[~np.isnan(values)]
    return float(np.median(finite)) if len(finite) else None


@dataclass(frozen=True)
class System:
    """Something that is scored: `separate` makes stems (S, C, N) of a mixture (C, N).

    `mode` is that of the synthesis; `latency` is what the rows are called by, the mode or milliseconds.
    """

    name: str
    latency: str
    mode: str
    separate: Callable[[Float32], Float32]


def masking_system(network: StreamingNetwork, stft: Stft, chunk: int, latency: str = "standard") -> System:
    """A network's masks with chunks of any size, of a whole song in one call. Chunk 0: the whole song is one chunk."""

    def separate(mixture: Float32) -> Float32:
        frames = analyse(mixture, stft.n_fft, stft.hop)
        masks = network_masks(network, frames, chunk)
        return synthesise(frames, masks, mixture.shape[1], stft.n_fft, stft.hop, latency)

    return System(system_name(chunk), latency, latency, separate)


def system_name(chunk: int) -> str:
    """What tables call a network that takes `chunk` frames a step."""
    return f"K={chunk or 'all'}"


def evaluate_song(song: Song, names: Sequence[str], stft: Stft, systems: Sequence[System]) -> Iterator[Row]:
    """Rows for each stem: the mixture, the best constant gain, the ideal mask in each latency mode, and each system.

    Args:
        names: of the song's stems.
    """
    evaluator = SongEvaluator(song, names, stft.sample_rate)
    mixture, stems = evaluator.mixture, evaluator.stems
    yield from evaluator.rows("mixture", None, np.broadcast_to(mixture, stems.shape))
    yield from evaluator.rows("constant gain", None, np.stack([best_gain(mixture, stem) * mixture for stem in stems]))
    frames, masks = analyse(mixture, stft.n_fft, stft.hop), ideal_ratio_masks(stems, stft)
    for mode in dict.fromkeys(system.mode for system in systems):
        estimates = synthesise(frames, masks, song.samples, stft.n_fft, stft.hop, mode)
        yield from evaluator.rows("ideal mask", mode, estimates)
    for system in systems:
        yield from evaluator.rows(system.name, system.latency, system.separate(mixture))
