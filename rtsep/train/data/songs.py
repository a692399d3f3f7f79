"""Training data: the songs of a recipe's sources, decoded once into files that are read by segment.

Every song becomes one int16 array (stems, 2, samples) at 44.1 kHz. A song that cannot be used is skipped, and the
report says why; only a source without any usable song is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import RtsepError, UsageError
from rtsep.files import existing
from rtsep.recipe import Recipe
from rtsep.timebase import SAMPLE_RATE
from rtsep.train.data.data_report import DataReport, SkippedSong, SourceReport
from rtsep.train.data.decode import Decoder
from rtsep.train.data.layouts import EXPECTED, SongFiles, SongKind, find
from rtsep.train.data.spleeter_table import find_spleeter
from rtsep.train.data.stem_plan import UnusableSong, plan_stems
from rtsep.train.data.store import INT16_PER_UNIT, CacheError, Store, StoredAudio
from rtsep.train_settings import DataSource

SILENCE_RMS = 1e-4
MOST_DECODERS = 8  # with more, the disk is the bottleneck


@dataclass(frozen=True, eq=False)
class Song:
    """A decoded song.

    Attributes:
        audio: int16 (stems, 2, samples), `store.INT16_PER_UNIT` per unit: an array, or a file read by slices.
        known: for each stem, whether it is that stem; the sum of the others is the rest of the mixture. None: all are.
        peak: largest magnitude of its spectrum, see `rtsep.train.crops.magnitudes`.
        notes: what is odd about its files, one line each.
    """

    name: str
    audio: NDArray[np.int16] | StoredAudio
    source: DataSource
    known: tuple[bool, ...] | None = None
    kind: SongKind = "song"
    peak: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        return self.audio.shape[2]

    def segment(self, start: int, length: int) -> NDArray[np.float32]:
        """A new float32 array (stems, 2, length) from sample `start`. Raises CacheError if the file is gone."""
        result = np.array(self.audio[:, :, start : start + length], np.float32, order="C")
        result *= np.float32(1 / INT16_PER_UNIT)
        return result


def is_held_out(name: str, source: DataSource) -> bool:
    """Whether the recipe holds out a song for evaluation."""
    return any(name == word or name.startswith(f"{word}_") for word in source.holdout)


def load_songs(
    recipe: Recipe,
    roots: Sequence[Path],
    cache: Path,
    held_out: bool,
    shortest: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Song], DataReport]:
    """All training songs, or all held-out ones: for those, sources that hold none out need not exist.

    Args:
        roots: the folders in which the sources' folders are searched.
        cache: folder for decoded songs.
        shortest: samples a song must have.
        progress: called after each song with the numbers of decoded songs and of all songs.

    Raises RtsepError if a source has no usable song, or the cache cannot be written; UsageError for bad roots.
    """
    for root in roots:
        if not os.path.isdir(root):
            raise UsageError(f"--data {root}: not a folder")
    data_report, jobs = DataReport(), list[tuple[SourceReport, SongFiles]]()
    for source in recipe.train.data:
        if held_out and not (source.holdout or source.layout == "spleeter"):
            continue
        report = SourceReport(source)
        data_report.sources.append(report)
        for found in _search(report, roots):
            if (found.held_out or is_held_out(found.name, source)) != held_out:
                report.set_aside += 1
            elif held_out and found.kind != "song":
                report.skipped.append(SkippedSong(found.name, f"{found.kind} alone: nothing to separate"))
            else:
                jobs.append((report, found))
    songs: list[Song] = []
    for done, (report, decoded) in enumerate(_decode_all(jobs, recipe.stems, cache, shortest), start=1):
        if isinstance(decoded, SkippedSong):
            report.skipped.append(decoded)
        else:
            songs.append(decoded)
            report.songs += 1
            report.seconds += decoded.samples / SAMPLE_RATE
            report.partly += decoded.known is not None
            report.notes += [f"{decoded.name}: {note}" for note in decoded.notes]
        progress(done, len(jobs))
    tried = {id(report) for report, _ in jobs}
    for report in data_report.sources:
        if not report.songs and (id(report) in tried or not report.set_aside):
            raise RtsepError(_without_songs(report))
    return songs, data_report


def _search(report: SourceReport, roots: Sequence[Path]) -> Iterator[SongFiles]:
    """The songs of a source in all roots, each name once; skipped ones go into the report."""
    source = report.source
    folders = {path.resolve(): path for path in existing(roots, source.folder) if path.is_dir()}
    if not folders:
        raise RtsepError(f"the recipe's folder {source.folder} is not in {' or '.join(map(str, roots))}: check --data")
    report.folders = list(folders.values())
    seen: set[str] = set()
    try:
        for found in _song_files(report, roots):
            if isinstance(found, SkippedSong):
                report.skipped.append(found)
            elif found.name in seen:
                report.skipped.append(SkippedSong(found.name, "another song has the same name"))
            else:
                seen.add(found.name)
                yield found
    except OSError as error:
        raise RtsepError(f"cannot search {source.folder}: {error}") from error


def _song_files(report: SourceReport, roots: Sequence[Path]) -> Iterator[SongFiles | SkippedSong]:
    if report.source.table is None:
        for folder in report.folders:
            yield from find(folder, report.source)
        return
    table = next((path for path in existing(roots, report.source.table) if path.is_file()), None)
    if table is None:
        raise RtsepError(f"the recipe's table {report.source.table} is not in {' or '.join(map(str, roots))}")
    yield from find_spleeter(table, report.folders, report)


def _decode_all(
    jobs: list[tuple[SourceReport, SongFiles]], stems: tuple[str, ...], cache: Path, shortest: int
) -> Iterator[tuple[SourceReport, Song | SkippedSong]]:
    """The result of every job, in their order; several are decoded in parallel."""
    stores = {folder: Store(folder) for folder in {found.cache or cache for _, found in jobs}}

    def decode(job: tuple[SourceReport, SongFiles]) -> Song | SkippedSong:
        report, found = job
        try:
            return _decode(found, report.source, stems, stores[found.cache or cache], shortest)
        except CacheError:
            raise
        except (UnusableSong, RtsepError) as reason:
            return SkippedSong(found.name, str(reason))
        except Exception as error:  # one odd file must not end a run, whatever its decoder raises
            return SkippedSong(found.name, f"cannot be decoded: {type(error).__name__}: {error}")

    executor = ThreadPoolExecutor(min(MOST_DECODERS, os.cpu_count() or 1), thread_name_prefix="decode")
    try:
        yield from zip((report for report, _ in jobs), executor.map(decode, jobs), strict=True)
    finally:
        executor.shutdown(cancel_futures=True)


def _decode(found: SongFiles, source: DataSource, stems: tuple[str, ...], store: Store, shortest: int) -> Song:
    """Decode one song. Raises UnusableSong or RtsepError if it cannot be used, CacheError if it cannot be stored."""
    silent: set[str] = set()
    if found.kind != "song":
        silent = {"vocals"} if found.kind == "instrumental" else set(stems) - {"vocals"}
    plan = plan_stems(found.files, stems, silent)
    try:
        identity = [f"{name} {found.files[name].identity()}" for name in plan.inputs]
    except OSError as error:
        raise UnusableSong(f"cannot be read: {error}") from error
    identity.append(f"{plan.weights.tolist()} {found.kind}")
    manifest, audio = store.fetch(found.name, identity, stems, Decoder(found.files, plan))
    if manifest.samples < shortest:
        seconds, needed = manifest.samples / SAMPLE_RATE, shortest / SAMPLE_RATE
        raise UnusableSong(f"too short: {seconds:.1f} s, a crop needs {needed:.1f} s")
    if manifest.rms < SILENCE_RMS:
        raise UnusableSong("silent")
    known = None if all(plan.known) else plan.known
    return Song(found.name, audio, source, known, found.kind, manifest.peak, manifest.notes)


def _without_songs(report: SourceReport) -> str:
    """The message for a source without any usable song."""
    source, place = report.source, ", ".join(map(str, report.folders))
    if report.skipped:
        first = report.skipped[0]
        return (
            f"{place} (layout {source.layout!r}) has no usable song, {len(report.skipped)} skipped; "
            f"{first.name}: {first.reason}"
        )
    return f"{place} has no songs: layout {source.layout!r} expects {EXPECTED[source.layout]}"
