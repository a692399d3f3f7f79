"""Meters: how loud each stem and the whole output are where the play head is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind, PlayHead

METER_SAMPLES = 2048
SILENCE_DB = -100.0


@dataclass(frozen=True)
class Levels:
    """In dBFS, over the last 46 ms: `rms_db` and `peak_db`. Above 0 dB the output's limiter would act."""

    rms_db: float = SILENCE_DB
    peak_db: float = SILENCE_DB


SILENT = Levels()


def measure(shared: SharedState, head: PlayHead, gains: NDArray[np.float32]) -> tuple[tuple[Levels, ...], Levels]:
    """Levels of each stem after its fader, and of the output before its limiter, at `head`.

    Args:
        gains: linear, one for each stem, with mutes and solos.

    Samples that are not in the rings count as silence. The output is the mixture where that is heard.
    """
    stems, output = (SILENT,) * len(gains), SILENT
    if not shared.transport.playing:
        return stems, output
    block = np.zeros((shared.stem.rows, METER_SAMPLES), np.float32)
    if shared.stem.read(head.position, block, head.epoch):
        scaled = block.reshape(len(gains), -1, METER_SAMPLES) * gains[:, None, None]
        stems, output = tuple(map(_levels, scaled)), _levels(scaled.sum(axis=0) * shared.transport.master)
    if head.kind in (Kind.DRY, Kind.BYPASS):
        mixture = np.zeros((shared.mixture.rows, METER_SAMPLES), np.float32)
        there = shared.mixture.read(head.position, mixture, head.epoch)
        loudest = 1.0 if head.kind == Kind.BYPASS else float(gains.max(initial=0.0))
        output = _levels(mixture * (loudest * shared.transport.master)) if there else SILENT
    return stems, output


def _levels(samples: NDArray[np.float32]) -> Levels:
    """Of all channels together."""
    floor = 10.0 ** (SILENCE_DB / 20.0)
    rms, peak = np.sqrt(np.mean(np.square(samples, dtype=np.float64))), np.abs(samples).max(initial=0.0)
    return Levels(*(20.0 * float(np.log10(max(amplitude, floor))) for amplitude in (rms, peak)))
