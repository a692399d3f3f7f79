"""Checks of a model besides its scores, on the held-out songs, with the in-process separator on one CPU thread.

How fast it is; whether it separates a song the same at any level; whether silence stays silent; whether it behaves the
same after half an hour as after a fresh start; and how quiet the first stem (the vocals) is in its pauses, as figures
and as spectrograms beside the card.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import rtsep
from benches.report import Report, Row, Table
from rtsep.bundle import Bundle, find_bundle
from rtsep.cli.output.progress_line import ProgressLine
from rtsep.dsp.spectrogram import BandEnergies, draw
from rtsep.errors import RtsepError
from rtsep.timebase import HOP, SAMPLE_RATE
from rtsep.train.data.songs import Song
from rtsep.train.evaluation.evaluate import decibels, energy, is_silent, sdr_db
from rtsep.train.evaluation.test_songs import load_test_songs
from rtsep.train.evaluation.validation import loudest

Float32 = NDArray[np.float32]

SPEED_S = 20
LEVELS_DB = (-20, 0, 20)
LEVELS_S = 20
BEFORE_S = 30  # of audio before the measured part: more than the total context of the network
JUDGED_S = 60
CLIP_S = 10
PAUSE_S = range(2, 7)  # of the clip
HIGH_HZ = 6000  # above it: hi-hats, and of a voice only breath
MOST_PICTURES = 3


def run(model: str, data: Sequence[Path], minutes: float, cache: Path, out: Path) -> int:
    """Measure and write; spectrograms go to `pictures` in the model's folder."""
    bundle = find_bundle(model)
    with ProgressLine() as line:
        songs, _ = load_test_songs(bundle.recipe, data, cache, partial(line.show, "decoding songs"))
    songs = [song for song in songs if song.source.bandwidth_hz is None]
    if not songs:
        raise RtsepError(
            f"cannot check {bundle.name}: no held-out song of full bandwidth in {', '.join(map(str, data))}"
        )
    song = next((song for song in songs if not is_silent(song.segment(0, song.samples)[0])), songs[0])
    report = Report(f"model-{bundle.name}", f"Checks of {bundle.name}", "one")
    report.add(
        Table("Speed", _speed(bundle, song), "Compute time in seconds per second of audio, over single seconds.")
    )
    note = f"The {LEVELS_S} s of {song.name} with the loudest {bundle.recipe.stems[0]}, K = 1."
    report.add(Table("Input level", _levels(bundle, song), note))
    report.add(Table("Digital silence", _silence(bundle, song), "K = 1; largest sample of all stems."))
    note = (
        f"Held-out songs in a loop at K = 1; the last {JUDGED_S} s compared with those of a separator started "
        f"{BEFORE_S} s before them: signal to difference."
    )
    report.add(Table(f"After {minutes:g} minutes", _drift(bundle, songs, minutes), note))
    note = (
        f"{CLIP_S} s of each song at K = 1: level of the {bundle.recipe.stems[0]} relative to the mixture, in the "
        f"seconds without any; above {HIGH_HZ} Hz: bleed of hi-hats."
    )
    report.add(Table("Pauses", _pauses(bundle, songs, report), note))
    report.write(out)
    return 0


def _separated(bundle: Bundle, mixture: Float32, chunk: int = 1) -> Float32:
    """Stems (S, C, N) of a new separator."""
    separator = rtsep.load(bundle.path, chunk=chunk, device="cpu")
    first, rest = separator.feed(mixture), separator.flush()
    return np.stack([np.concatenate([first[stem], rest[stem]], axis=1) for stem in bundle.recipe.stems])


def _mixture(song: Song, start: int, length: int) -> Float32:
    return song.segment(start, length).sum(axis=0)


def _speed(bundle: Bundle, song: Song) -> list[Row]:
    sound = _mixture(song, 0, (SPEED_S + 2) * SAMPLE_RATE)
    rows = []
    for chunk in (1, 32):
        separator = rtsep.load(bundle.path, chunk=chunk, device="cpu")
        separator.feed(sound[:, : 2 * SAMPLE_RATE])
        factors = []
        for start in range(2 * SAMPLE_RATE, sound.shape[1], SAMPLE_RATE):
            began = time.perf_counter()
            separator.feed(sound[:, start : start + SAMPLE_RATE])
            factors.append(time.perf_counter() - began)
        rows.append({"K": chunk, "best": min(factors), "median": float(np.median(factors)), "worst": max(factors)})
    return rows


def _levels(bundle: Bundle, song: Song) -> list[Row]:
    stems = song.segment(0, song.samples)
    stems = np.ascontiguousarray(stems[..., loudest(stems[0], LEVELS_S * SAMPLE_RATE, SAMPLE_RATE)])
    mixture, rows = stems.sum(axis=0), []
    plain = _separated(bundle, mixture)
    for level_db in LEVELS_DB:
        gain = np.float32(10 ** (level_db / 20))
        found = _separated(bundle, gain * mixture) / gain
        row: dict[str, str | int | float | None] = {"input dB": level_db}
        for name, stem, estimate in zip(bundle.recipe.stems, stems, found, strict=True):
            row[f"{name}, SDR dB"] = None if is_silent(stem) else sdr_db(stem, estimate)
        difference_db = sdr_db(plain, found)
        rows.append(row | {"compared with 0 dB, dB": difference_db if np.isfinite(difference_db) else None})
    return rows


def _silence(bundle: Bundle, song: Song) -> list[Row]:
    """Silence from the start, and after music, once its last frame is out."""
    music, silence = _mixture(song, 0, SPEED_S * SAMPLE_RATE), np.zeros((2, 10 * SAMPLE_RATE), np.float32)
    after = _separated(bundle, np.concatenate([music, silence], axis=1))[
        ..., music.shape[1] + bundle.recipe.stft.n_fft :
    ]
    cases = {"from the start": _separated(bundle, silence), f"after {SPEED_S} s of music": after}
    return [{"silence": case, "largest sample": float(np.abs(sound).max())} for case, sound in cases.items()]


def _music(songs: Sequence[Song], start: int, stop: int) -> Iterator[Float32]:
    """Samples [start, stop) of the songs' mixtures one after another, again and again; blocks of at most 10 s."""
    position = 0
    while position < stop:
        for song in songs:
            for at in range(0, song.samples, 10 * SAMPLE_RATE):
                length = min(10 * SAMPLE_RATE, song.samples - at)
                first, last = max(0, start - position), min(length, stop - position)
                if first < last:
                    yield np.ascontiguousarray(_mixture(song, at, length)[:, first:last])
                position += length


def _last_of(bundle: Bundle, music: Iterator[Float32], samples: int) -> Float32:
    """The last samples (S, C, samples) of what comes out for all of some music at one frame a step."""
    separator = rtsep.load(bundle.path, chunk=1, device="cpu")
    kept = np.zeros((len(bundle.recipe.stems), 2, 0), np.float32)
    with ProgressLine() as line:
        told = 0
        for block in music:
            found = np.stack(list(separator.feed(block).values()))
            kept = np.concatenate([kept, found], axis=2)[..., -samples:]
            told += block.shape[1]
            line.show(f"{told / SAMPLE_RATE / 60:.1f} minutes", 0, None)
    rest = np.stack(list(separator.flush().values()))
    return np.concatenate([kept, rest], axis=2)[..., -samples:]


def _drift(bundle: Bundle, songs: Sequence[Song], minutes: float) -> list[Row]:
    stop = round(minutes * 60 * SAMPLE_RATE / HOP) * HOP
    judged = JUDGED_S * SAMPLE_RATE
    start = max(0, (stop - judged - BEFORE_S * SAMPLE_RATE) // HOP * HOP)  # so that frames fall on the same samples
    long, fresh = (_last_of(bundle, _music(songs, first, stop), judged) for first in (0, start))
    return [
        {"stem": name, "level dBFS": decibels(energy(here) / here.size), "difference dB": _finite(sdr_db(here, there))}
        for name, here, there in zip(bundle.recipe.stems, long, fresh, strict=True)
    ]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _clip_with_pause(song: Song) -> tuple[int, list[int]] | None:
    """First second of the clip whose mixture is loudest while the first stem pauses, and those seconds of the clip."""
    best = 0.0
    found = None
    stems = song.segment(0, song.samples)
    reference, mixture = stems[0], stems.sum(axis=0)
    seconds = [slice(at, at + SAMPLE_RATE) for at in range(0, song.samples - SAMPLE_RATE + 1, SAMPLE_RATE)]
    quiet = [is_silent(reference[:, part]) for part in seconds]
    loudness = [energy(mixture[:, part]) for part in seconds]
    for first in range(len(seconds) - CLIP_S + 1):
        pauses = [second for second in range(CLIP_S) if quiet[first + second]]
        loud = sum(loudness[first + second] for second in pauses)
        if len(pauses) in PAUSE_S and loud > best:
            best, found = loud, (first, pauses)
    return found


def _high(x: Float32) -> Float32:
    """(C, N) without what lies below HIGH_HZ."""
    spectrum = np.fft.rfft(x)
    spectrum[:, np.fft.rfftfreq(x.shape[1], 1 / SAMPLE_RATE) < HIGH_HZ] = 0
    return np.fft.irfft(spectrum, x.shape[1]).astype(np.float32)


def _pauses(bundle: Bundle, songs: Sequence[Song], report: Report) -> list[Row]:
    stem = bundle.recipe.stems[0]
    rows: list[Row] = []
    for song in songs:
        clip = _clip_with_pause(song)
        if clip is None or len(rows) == MOST_PICTURES:
            continue
        first, pauses = clip
        before = min(first, BEFORE_S) * SAMPLE_RATE
        start = first * SAMPLE_RATE
        stems = song.segment(start - before, before + CLIP_S * SAMPLE_RATE)
        estimate = _separated(bundle, stems.sum(axis=0))[0, :, before:]
        reference, mixture = stems[0, :, before:], stems.sum(axis=0)[:, before:]
        parts = [slice(second * SAMPLE_RATE, (second + 1) * SAMPLE_RATE) for second in pauses]

        def level_db(found: Float32, whole: Float32, parts: list[slice] = parts) -> float:
            quiet, loud = (sum(energy(x[:, part]) for part in parts) for x in (found, whole))
            return decibels(quiet / loud)

        high_db = level_db(_high(estimate), _high(mixture))
        rows.append(
            {"song": song.name, "from s": first, "pauses s": len(pauses), "in pauses dB": level_db(estimate, mixture)}
            | {f"from {HIGH_HZ} Hz dB": high_db}
        )
        _picture(bundle, song, {"mixture": mixture, f"{stem}, true": reference, f"{stem}, K = 1": estimate}, report)
    return rows


def _picture(bundle: Bundle, song: Song, sounds: dict[str, Float32], report: Report) -> None:
    panels = []
    for title, sound in sounds.items():
        panels.append((f"{song.name}: {title}", BandEnergies(SAMPLE_RATE)))
        panels[-1][1].push(sound)
    path = bundle.path / "pictures" / f"{song.name}.png"
    path.parent.mkdir(exist_ok=True)
    if not draw(path, panels):
        report.problem("no spectrograms: matplotlib is not installed (pip install matplotlib)")
        return
    from PIL import Image  # matplotlib's own

    with Image.open(path) as picture:
        small = picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    small.save(path, optimize=True)
