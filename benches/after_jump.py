"""Quality after a seek: the stems of the next two seconds compared with those of uninterrupted playback.

Plays the bundled song as `benches.seek` does. Uninterrupted playback is the same network over the whole song, with 32
frames per step, as in a player that is far ahead.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from benches.report import SONG, Table
from benches.seek import RATE, SETTLE_S, Clock
from rtsep.errors import RtsepError
from rtsep.player.file_player import FilePlayer
from rtsep.separation.backends.choose import load_stepper
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.separation.options import find_playable
from rtsep.separation.processor import Processor
from rtsep.separation.stream_separator import StreamSeparator
from rtsep.train.evaluation.evaluate import decibels, energy

Float32 = NDArray[np.float32]
Stems = dict[str, Float32]

WANTED_DB = -30.0
OFF, OF_ITSELF, LOST = "difference, dB", "relative to stem, dB", "SDR loss, dB"
AUDIBLE = 1e-4
"""A stem 40 dB below the mixture of its second counts as silent: a ratio to it is meaningless."""


def table(model: str | None, places: int) -> Table:
    """One row per position that is sought, and one for all of them."""
    mixture = _read(SONG)
    uninterrupted = _separated(model, mixture)
    true_stems = _true_stems(mixture, list(uninterrupted))
    targets = np.random.default_rng(0).uniform(6.0, mixture.shape[1] / RATE - 4.0, places) * RATE
    rows: list[dict[str, Any]] = []
    errors: list[tuple[float, float]] = []
    with FilePlayer(SONG, model=model, open_stream=Clock) as player:
        player.open()
        player.play()
        for target in targets.astype(int).tolist():
            time.sleep(SETTLE_S)
            player.seek(target / RATE)
            after = dict(zip(uninterrupted, _published(player, target, 2 * RATE), strict=True))
            first, second = slice(target, target + RATE), slice(target + RATE, target + 2 * RATE)
            before = _cut(uninterrupted, first)
            errors.append((_error(_cut(true_stems, first), before), _error(_cut(true_stems, first), after)))
            rows.append(
                {"place": f"{target / RATE:.1f} s"}
                | _differences(_cut(after, slice(RATE, None)), _cut(uninterrupted, second), mixture[:, second])
                | {LOST: _lost_db([errors[-1]])}
            )
    met = sum(float(row[OFF]) <= WANTED_DB for row in rows)
    whole = {"place": "median; all"} | {
        name: float(np.median([float(row[name]) for row in rows])) for name in (OFF, OF_ITSELF)
    }
    return Table(
        "After a seek",
        [*rows, whole | {LOST: _lost_db(errors)}],
        "Difference: the stem that differs most from uninterrupted playback, 1 to 2 s after the seek, relative to the "
        "mixture of that second; since a stem is the mixture times a mask from 0 to 1, this is the error of the masks. "
        f"{met} of {places} are at {WANTED_DB:.0f} dB or below. Relative to stem: the same relative to the power of "
        "the stem. SDR loss: how much larger the error against the true stems is in the first second than in "
        "uninterrupted playback; the last row takes all these seconds together, since a single second is subject to "
        "chance.",
    )


def _differences(after: Stems, before: Stems, mixture: Float32) -> dict[str, float]:
    whole = energy(mixture)
    off = {stem: energy(after[stem] - before[stem]) for stem in before}
    of_itself = [off[stem] / energy(before[stem]) for stem in before if energy(before[stem]) > AUDIBLE * whole]
    worst = max(of_itself, default=float("nan"))
    return {OFF: decibels(max(off.values()) / whole), OF_ITSELF: decibels(worst)}


def _lost_db(errors: list[tuple[float, float]]) -> float | None:
    """By how much the second errors are larger; None without true stems."""
    before, after = (sum(column) for column in zip(*errors, strict=True))
    return decibels(after / before) if before > 0 else None


def _error(true: Stems, stems: Stems) -> float:
    return sum(energy(truth - stems[stem][:, : truth.shape[1]]) for stem, truth in true.items())


def _cut(stems: Stems, span: slice) -> Stems:
    return {stem: sound[:, span] for stem, sound in stems.items()}


def _published(player: FilePlayer, begin: int, samples: int, limit_s: float = 10.0) -> Float32:
    """(S, 2, samples) from `begin` on, as soon as the worker has got so far."""
    ring = player.shared.stem
    out = np.zeros((ring.rows, samples), np.float32)
    deadline = time.monotonic() + limit_s
    while not ring.read(begin, out, player.epoch):
        if time.monotonic() > deadline:
            raise RtsepError(f"two seconds were not separated within {limit_s:.0f} s after a seek")
        time.sleep(0.01)
    return out.reshape(-1, 2, samples)


def _separated(model: str | None, mixture: Float32) -> Stems:
    stepper = load_stepper(find_playable(model), "cpu", live=True)
    separator = StreamSeparator(Processor(stepper), MAX_CHUNK)
    pieces = [separator.feed(mixture), separator.flush()]
    return {stem: np.concatenate([piece[stem] for piece in pieces], axis=1) for stem in pieces[0]}


def _true_stems(mixture: Float32, stems: list[str]) -> Stems:
    found = {stem: SONG.with_name(f"{stem}.flac") for stem in stems}
    true = {stem: _read(path) for stem, path in found.items() if path.exists()}
    if "instrumental" in stems and "vocals" in true:
        true["instrumental"] = mixture - true["vocals"]
    return true


def _read(path: Path) -> Float32:
    return np.ascontiguousarray(soundfile.read(path, dtype="float32")[0].T, np.float32)
