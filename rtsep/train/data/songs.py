"""Training material: the songs of a recipe's sources, decoded once into files that are read by segment.

Every song becomes one int16 array (stems, 2, samples) at 44.1 kHz. A song that cannot be used is skipped, with its
reason in the report; only a source without any song is an error.
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
from rtsep.recipe import Recipe
from rtsep.timebase import SAMPLE_RATE
from rtsep.train.data.data_report import DataReport, Skipped, SourceReport
from rtsep.train.data.decode import Decoder
from rtsep.train.data.layouts import EXPECTED, Found, Kind, find
from rtsep.train.data.spleeter_table import find_spleeter
from rtsep.train.data.stem_plan import Unusable, plan_stems
from rtsep.train.data.store import INT16_PER_UNIT, CacheError, Store, StoredAudio
from rtsep.train_settings import DataSource

SILENCE_RMS = 1e-4
MOST_DECODERS = 8  # beyond it the disk is what one waits for


@dataclass(frozen=True, eq=False)
class Song:
    """A decoded song.

    Attributes:
        audio: int16 (stems, 2, samples), times `store.INT16_PER_UNIT` per unit: an array, or a file read by slices.
        known: of each stem, whether it is what it is called; those that are not are the mixture's rest, in sum only.
            None: all are.
        peak: largest magnitude of its spectrum, see `rtsep.train.crops.magnitudes`.
    """

    name: str
    audio: NDArray[np.int16] | StoredAudio
    source: DataSource
    known: tuple[bool, ...] | None = None
    kind: Kind = "song"
    peak: float = 1.0

    @property
    def samples(self) -> int:
        return self.audio.shape[2]

    def segment(self, start: int, length: int) -> NDArray[np.float32]:
        """(stems, 2, length) float32 from sample `start`, an array of its own. Raises CacheError if it is gone."""
        result = np.array(self.audio[:, :, start : start + length], np.float32, order="C")
        result *= np.float32(1 / INT16_PER_UNIT)
        return result


def is_held_out(name: str, source: DataSource) -> bool:
    """Whether the recipe keeps a song for evaluation."""
    return any(name == word or name.startswith(f"{word}_") for word in source.holdout)


def load_songs(
    recipe: Recipe,
    roots: Sequence[Path],
    cache: Path,
    held_out: bool,
    shortest: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Song], DataReport]:
    """All training songs, or all held-out ones: for these, sources that hold none out need not be there.

    Args:
        roots: the folders in each of which the sources' folders are looked for.
        cache: folder that decoded songs are kept in.
        shortest: samples that a song must have.
        progress: called with how many songs are decoded, of how many, after each.

    Raises RtsepError if a source has no song that can be used, or the cache no room; UsageError if a root is no folder.
    """
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"--data {root} is not a folder")
    report, jobs = DataReport(), list[tuple[SourceReport, Found]]()
    for source in recipe.train.data:
        if held_out and not (source.holdout or source.layout == "spleeter"):
            continue
        of = SourceReport(source)
        report.sources.append(of)
        for found in _search(of, roots):
            if (found.held_out or is_held_out(found.name, source)) != held_out:
                of.set_aside += 1
            elif held_out and found.kind != "song":
                of.skipped.append(Skipped(found.name, f"{found.kind} alone: there is nothing to separate"))
            else:
                jobs.append((of, found))
    songs: list[Song] = []
    for done, (of, decoded) in enumerate(_decode_all(jobs, recipe.stems, cache, shortest), start=1):
        if isinstance(decoded, Skipped):
            of.skipped.append(decoded)
        else:
            songs.append(decoded)
            of.songs += 1
            of.seconds += decoded.samples / SAMPLE_RATE
            of.partly += decoded.known is not None
        progress(done, len(jobs))
    tried = {id(of) for of, _ in jobs}
    for of in report.sources:
        if not of.songs and (id(of) in tried or not of.set_aside):
            raise RtsepError(_without_songs(of))
    return songs, report


def _search(of: SourceReport, roots: Sequence[Path]) -> Iterator[Found]:
    """The songs of a source in all roots, each name once; what is skipped goes into the report."""
    source = of.source
    folders = {path.resolve(): path for root in roots if (path := root / source.folder).is_dir()}
    if not folders:
        raise RtsepError(
            f"the recipe's folder {source.folder} is in none of {', '.join(map(str, roots))}; check --data"
        )
    seen: set[str] = set()
    try:
        for found in _found(of, roots, list(folders.values())):
            if isinstance(found, Skipped):
                of.skipped.append(found)
            elif found.name in seen:
                of.skipped.append(Skipped(found.name, "there is another song of that name"))
            else:
                seen.add(found.name)
                yield found
    except OSError as error:
        raise RtsepError(f"{source.folder} cannot be searched: {error}") from error


def _found(of: SourceReport, roots: Sequence[Path], folders: list[Path]) -> Iterator[Found | Skipped]:
    if of.source.table is None:
        for folder in folders:
            yield from find(folder, of.source)
        return
    tables = [root / of.source.table for root in roots]
    table = next((table for table in tables if table.is_file()), None)
    if table is None:
        raise RtsepError(f"the recipe's table {of.source.table} is in none of {', '.join(map(str, roots))}")
    yield from find_spleeter(table, folders, of)


def _decode_all(
    jobs: list[tuple[SourceReport, Found]], stems: tuple[str, ...], cache: Path, shortest: int
) -> Iterator[tuple[SourceReport, Song | Skipped]]:
    """What came of every job, in their order; several are decoded at once."""
    stores = {folder: Store(folder) for folder in {found.cache or cache for _, found in jobs}}

    def decode(job: tuple[SourceReport, Found]) -> Song | Skipped:
        of, found = job
        try:
            return _decode(found, of.source, stems, stores[found.cache or cache], shortest)
        except CacheError:
            raise
        except (Unusable, RtsepError) as reason:
            return Skipped(found.name, str(reason))
        except Exception as error:  # decoders are others' code, and one odd file must not end a run
            return Skipped(found.name, f"it cannot be decoded: {type(error).__name__}: {error}")

    executor = ThreadPoolExecutor(min(MOST_DECODERS, os.cpu_count() or 1), thread_name_prefix="decode")
    try:
        yield from zip((of for of, _ in jobs), executor.map(decode, jobs), strict=True)
    finally:
        executor.shutdown(cancel_futures=True)


def _decode(found: Found, source: DataSource, stems: tuple[str, ...], store: Store, shortest: int) -> Song:
    """Raises Unusable or RtsepError for what cannot be used, CacheError where it cannot be kept."""
    silent: set[str] = set()
    if found.kind != "song":
        silent = {"vocals"} if found.kind == "instrumental" else set(stems) - {"vocals"}
    plan = plan_stems(found.parts, stems, silent)
    try:
        identity = [f"{name} {found.parts[name].identity()}" for name in plan.parts]
    except OSError as error:
        raise Unusable(f"it cannot be read: {error}") from error
    identity.append(f"{plan.weights.tolist()} {found.kind}")
    manifest, audio = store.fetch(found.name, identity, stems, Decoder(found.parts, plan))
    if manifest.samples < shortest:
        seconds, needed = manifest.samples / SAMPLE_RATE, shortest / SAMPLE_RATE
        raise Unusable(f"too short: {seconds:.1f} s, a crop takes {needed:.1f} s")
    if manifest.rms < SILENCE_RMS:
        raise Unusable("silent")
    known = None if all(plan.known) else plan.known
    return Song(found.name, audio, source, known, found.kind, manifest.peak)


def _without_songs(of: SourceReport) -> str:
    """One line for a source that gives nothing."""
    source = of.source
    if of.skipped:
        first = of.skipped[0]
        return (
            f"no song of {source.folder} (layout {source.layout!r}) can be used, {len(of.skipped)} skipped; "
            f"{first.name}: {first.reason}"
        )
    return f"no songs in {source.folder}: layout {source.layout!r} expects {EXPECTED[source.layout]}"
