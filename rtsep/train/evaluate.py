"""How well a network separates songs whose true stems are known: whole-song signal-to-distortion ratios.

Beside the network stand three rows that tell what its figure is worth: the mixture itself, the mixture at the best
constant gain <m, s>/<m, m> (a volume knob that knows the answer), and the ideal ratio mask (a mask that knows it).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rtsep.dsp.grid import synthesis_support
from rtsep.dsp.kernels import apply_masks
from rtsep.dsp.stft import StreamingISTFT, StreamingSTFT
from rtsep.nn.contract import StreamingNetwork
from rtsep.recipe import Stft
from rtsep.train.data import Song

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]
SILENT_RMS = 10 ** (-60 / 20)


def decibels(ratio: float) -> float:
    """10 log10 of a power ratio; infinite where it has no end."""
    return -math.inf if ratio <= 0 else math.inf if math.isinf(ratio) else 10 * math.log10(ratio)


def energy(x: Float32) -> float:
    """Sum of squares, in double precision."""
    return float(np.sum(np.square(x, dtype=np.float64)))


def sdr_db(reference: Float32, estimate: Float32) -> float:
    """Whole-signal ratio of reference to error ("uSDR"), both (C, N)."""
    error = energy(reference - estimate)
    return decibels(energy(reference) / error if error else math.inf)


def best_gain(mixture: Float32, reference: Float32) -> float:
    """The constant that brings the mixture nearest to the reference."""
    return float(np.vdot(mixture.astype(np.float64), reference.astype(np.float64))) / max(energy(mixture), 1e-20)


def analyse(x: Float32, stft: Stft) -> Complex64:
    """(C, N) -> frames (T, C, bins), from the first that touches the signal to the last."""
    hops = math.ceil(x.shape[1] / stft.hop) + stft.n_fft // stft.hop - 1
    padded = np.zeros((x.shape[0], hops * stft.hop), np.float32)
    padded[:, : x.shape[1]] = x
    transform = StreamingSTFT(x.shape[0], stft.n_fft, stft.hop)
    frames = padded.reshape(x.shape[0], hops, stft.hop)
    return np.stack([transform.push(np.ascontiguousarray(frames[:, h])).copy() for h in range(hops)])


def synthesise(frames: Complex64, masks: Float32, samples: int, stft: Stft, latency: str = "standard") -> Float32:
    """Masked frames back to sound, as played in a latency mode: (T, C, bins), masks (S, C, F + 1, T) -> (S, C, N)."""
    stems, channels = masks.shape[:2]
    support = synthesis_support(latency, stft.n_fft, stft.hop)
    transform = StreamingISTFT(stems * channels, stft.n_fft, stft.hop, support)
    buffer = transform.spectrum.reshape(stems, channels, -1)
    hops = []
    for t in range(len(frames)):
        apply_masks(frames[t], masks[..., t], buffer)
        hops.append(transform.push(transform.spectrum).copy())
    before = support - stft.hop
    whole = np.concatenate(hops, axis=1).reshape(stems, channels, -1)
    return whole[:, :, before : before + samples]


def network_masks(network: StreamingNetwork, frames: Complex64, chunk: int) -> Float32:
    """(S, C, F + 1, T) for chunks of `chunk` frames, 0 for one chunk of the whole song."""
    magnitudes = np.abs(frames[:, :, : network.bins]).transpose(1, 2, 0)
    with torch.inference_mode():
        return network.forward(torch.from_numpy(magnitudes)[None], chunk=chunk or None)[0].numpy()


def ideal_ratio_masks(stems: Float32, stft: Stft) -> Float32:
    """The power-ratio masks of the true stems (S, C, N), one row a bin and one for the band above: (S, C, F + 1, T)."""
    power = np.stack([np.square(np.abs(analyse(stem, stft))) for stem in stems])  # (S, T, C, bins)
    low, high = power[..., : stft.bins], power[..., stft.bins :].sum(axis=3, keepdims=True)
    rows = np.concatenate([low, high], axis=3)
    return np.ascontiguousarray((rows / np.maximum(rows.sum(axis=0), 1e-12)).transpose(0, 2, 3, 1))


def pause_level_db(mixture: Float32, reference: Float32, estimate: Float32, second: int) -> float | None:
    """Level of the estimate against the mixture, over the seconds in which the reference is silent."""
    left = right = 0.0
    for start in range(0, mixture.shape[1] - second + 1, second):
        part = slice(start, start + second)
        quiet = energy(reference[:, part]) / reference[:, part].size < SILENT_RMS**2
        if quiet and energy(mixture[:, part]) / mixture[:, part].size > SILENT_RMS**2:
            left += energy(estimate[:, part])
            right += energy(mixture[:, part])
    return decibels(left / right) if right else None


@dataclass(frozen=True)
class Row:
    """One stem of one song in one latency mode; `network_db` and `pause_db` by chunk, None where the reference never
    pauses."""

    song: str
    folder: str
    stem: str
    latency: str
    mixture_db: float
    gain_db: float
    ideal_db: float
    network_db: dict[int, float]
    pause_db: dict[int, float | None]

    def over_gain_db(self, chunk: int) -> float:
        """How far the network stands above a volume knob that knows the answer."""
        return self.network_db[chunk] - self.gain_db


def evaluate_song(
    network: StreamingNetwork, song: Song, stft: Stft, chunks: Iterable[int], latencies: Iterable[str] = ("standard",)
) -> Iterator[Row]:
    """A row for each latency mode and each stem that sounds in the song."""
    stems = song.segment(0, song.samples)
    mixture = stems.sum(axis=0)
    frames = analyse(mixture, stft)
    ideal_masks = ideal_ratio_masks(stems, stft)
    masks = {chunk: network_masks(network, frames, chunk) for chunk in chunks}
    for latency in latencies:
        ideal = synthesise(frames, ideal_masks, song.samples, stft, latency)
        estimates = {chunk: synthesise(frames, masks[chunk], song.samples, stft, latency) for chunk in masks}
        for index, stem in enumerate(network.stems):
            reference = stems[index]
            if energy(reference) / reference.size < SILENT_RMS**2:
                continue
            yield Row(
                song.name,
                song.source.folder,
                stem,
                latency,
                sdr_db(reference, mixture),
                sdr_db(reference, best_gain(mixture, reference) * mixture),
                sdr_db(reference, ideal[index]),
                {chunk: sdr_db(reference, estimate[index]) for chunk, estimate in estimates.items()},
                {
                    chunk: pause_level_db(mixture, reference, estimate[index], stft.sample_rate)
                    for chunk, estimate in estimates.items()
                },
            )
