"""Validation during training: scores on the held-out songs, and audio and picture of one clip.

Cheaper than `rtsep eval`: the first seconds of every song, one frame per step, relative to the best constant gain.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from torch import nn

from rtsep.dsp.song_stft import analyse, synthesise
from rtsep.dsp.spectrogram import BandEnergies, draw
from rtsep.files import write_atomically
from rtsep.nn.contract import StreamingNetwork
from rtsep.recipe import Stft
from rtsep.train.data.songs import Song
from rtsep.train.evaluation.evaluate import best_gain, is_silent, network_masks, sdr_db
from rtsep.train.run.distributed import DistributedGroup

CHUNK = 1
CLIP_S = 8.0

Float32 = NDArray[np.float32]


class Validation:
    """Scores the first `seconds` of each song; the songs are distributed over the processes.

    The clip is where the first song's first stem is loudest. `folder` gets its mixture and that stem, and for every
    validation the estimate, as audio (FLAC) and as spectrogram (PNG, with matplotlib).
    """

    def __init__(
        self, songs: Sequence[Song], stft: Stft, seconds: float, folder: Path, group: DistributedGroup
    ) -> None:
        self._songs, self._stft, self._folder, self._group = songs, stft, folder, group
        self._samples = round(seconds * stft.sample_rate)

    def __bool__(self) -> bool:
        """Whether there are songs to score."""
        return len(self._songs) > 0

    def run(
        self, network: StreamingNetwork, step: int, is_stopping: Callable[[], bool] = lambda: False
    ) -> dict[str, float] | None:
        """SDR in dB above the best constant gain: the mean for each stem, and their mean as `over_gain_db`.

        Over songs in which the stem is known, not silent and not alone. Empty if there are none; None if `is_stopping`
        became true on the way in any process: a network of windows may take minutes.
        """
        found: list[tuple[str, float]] = []
        with suppress(_Stopped), _stopping(network, is_stopping):
            self._score(network, step, found)
        if self._group.any(is_stopping()):
            return None
        by_stem: dict[str, list[float]] = {}
        for stem, score_db in self._group.all_gather(found):
            by_stem.setdefault(stem, []).append(score_db)
        means = {f"over_gain_db/{stem}": statistics.fmean(scores) for stem, scores in by_stem.items()}
        return {"over_gain_db": statistics.fmean(means.values())} | means if means else {}

    def _score(self, network: StreamingNetwork, step: int, found: list[tuple[str, float]]) -> None:
        """Append stem and score of each stem in this process's songs; keep the clip."""
        for index in self._group.share(len(self._songs)):
            song = self._songs[index]
            stems = song.segment(0, min(song.samples, self._samples))
            mixture = stems.sum(axis=0)
            frames = analyse(mixture, self._stft.n_fft, self._stft.hop)
            masks = network_masks(network, frames, CHUNK, self._group.device)
            estimates = synthesise(frames, masks, mixture.shape[1], self._stft.n_fft, self._stft.hop)
            known = song.known or (True,) * len(stems)
            for stem, is_known, reference, estimate in zip(network.stems, known, stems, estimates, strict=True):
                if is_known and not is_silent(reference) and not is_silent(mixture - reference):
                    gained = best_gain(mixture, reference) * mixture
                    found.append((stem, sdr_db(reference, estimate) - sdr_db(reference, gained)))
            if index == 0:
                self._keep_clip(step, network.stems[0], mixture, stems[0], estimates[0])

    def _keep_clip(self, step: int, stem: str, mixture: Float32, reference: Float32, estimate: Float32) -> None:
        rate = self._stft.sample_rate
        place = loudest(reference, round(CLIP_S * rate), rate)
        fixed = {"mixture": mixture[:, place], stem: reference[:, place]}
        clips = fixed | {f"{step:07}": estimate[:, place]}
        for name, samples in clips.items():
            if name not in fixed or not (self._folder / f"{name}.flac").exists():
                content = io.BytesIO()
                soundfile.write(content, samples.clip(-1, 1).T, rate, format="FLAC", subtype="PCM_16")
                write_atomically(self._folder / f"{name}.flac", content.getbuffer())
        panels = []
        for title, samples in zip(("mixture", f"{stem}, true", f"{stem}, step {step}"), clips.values(), strict=True):
            panels.append((title, BandEnergies(rate)))
            panels[-1][1].push(samples)
        picture = self._folder / f"{step:07}.png"
        draw(picture, panels)


class _Stopped(Exception):
    pass


@contextmanager
def _stopping(network: StreamingNetwork, is_stopping: Callable[[], bool]) -> Iterator[None]:
    """Within, no module of the network begins to compute once `is_stopping` is true: _Stopped is raised instead."""

    def check(module: nn.Module, arguments: object) -> None:
        if is_stopping():
            raise _Stopped

    hooks = [module.register_forward_pre_hook(check) for module in network.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def loudest(x: Float32, length: int, pace: int) -> slice:
    """The `length` samples of (C, N) with the most energy that begin at a multiple of `pace`."""
    sums = np.concatenate([[0.0], np.cumsum(np.square(x, dtype=np.float64).sum(axis=0))])
    starts = range(0, max(x.shape[1] - length, 0) + 1, pace)
    start = max(starts, key=lambda begin: sums[min(begin + length, x.shape[1])] - sums[begin])
    return slice(start, start + length)
