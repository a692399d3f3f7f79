"""The work on one song of a batch: skipped if it is done, else separated or copied, and noted in its manifest."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import rtsep
from rtsep.audio.files.encode import Encoding
from rtsep.audio.files.reader import Part, open_audio
from rtsep.audio.files.tags import Tags, read_tags
from rtsep.audio.files.wav import AtomicWav
from rtsep.batch.manifest import Input, Manifest
from rtsep.batch.outcome import EndOfRun, Once, Progress, Written
from rtsep.batch.remote import deliver
from rtsep.batch.tasks import Task
from rtsep.bundle import Bundle
from rtsep.errors import RtsepError, UsageError
from rtsep.files import create_temporary, replacing
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.separation.load import load
from rtsep.separation.options import check_chunk, check_mask_extension, check_tta, find_playable
from rtsep.separation.separator import Separator
from rtsep.separation.song_files import write_song
from rtsep.separation.song_outputs import Clip, Form, choose_mixes, choose_stem_mixes
from rtsep.timebase import SAMPLE_RATE

SKIPPED = Written(event="skipped")
MEASURED_S = (1, 10)
"""Seconds of noise whose separation shows the speed. The last one counts, when everything is warm."""


def no_progress(done: int, total: int | None) -> None:
    """For who does not want to know."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the songs of a batch are separated, and what is written of them: see `rtsep.load`, `write_song`,
    `Part`, `choose_mixes`, `Form` and `Encoding`.

    Raises ArgumentError for a value that is not possible.
    """

    model: str
    chunk: int = MAX_CHUNK
    wiener: bool = False
    tta: str | None = None
    merge_artifacts: bool = False
    mask_extension: str | None = None
    allow_damaged: bool = False
    start: float = 0.0
    seconds: float | None = None
    stems: tuple[str, ...] = ()
    two_stems: str | None = None
    mix: tuple[tuple[str, float], ...] = ()
    format: str = "wav"
    bits: int | None = None
    bitrate: int | None = None
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_chunk(self.chunk)
        check_tta(self.tta)
        check_mask_extension(self.mask_extension)
        Part(self.start, self.seconds)

    @property
    def part(self) -> Part:
        """What is separated of each song."""
        return Part(self.start, self.seconds)


class SongWork:
    """Separates songs one after the other, by a model that is loaded for the first one.

    Args:
        compute: processor for the network, as for `rtsep.load`.
        threads: of PyTorch, as for `rtsep.load`.
        skip_existing: leave songs alone that are done.

    Attributes:
        stems: names of the files that a song becomes.

    Raises RtsepError if there is no such model, or a package for the format is missing; UsageError for settings that
    do not fit each other or the model.
    """

    def __init__(self, settings: Settings, compute: str, *, skip_existing: bool, threads: int | None = None) -> None:
        self._settings = settings
        self._compute = compute
        self._threads = threads
        self._skip_existing = skip_existing
        self._form = Form(Encoding(settings.format, settings.bits, settings.bitrate), settings.clip)
        self._form.encoding.check_installed()
        self._bundle: Bundle = find_playable(settings.model)
        stems = self._bundle.recipe.stems
        if self._form.encoding.holds_all:
            if settings.stems or settings.two_stems or settings.mix:
                raise UsageError(f"--format {settings.format} holds four stems and their mixture: no others")
            self._mixes = choose_stem_mixes(stems)
            self.stems: tuple[str, ...] = ("stems",)
        else:
            self._mixes = choose_mixes(stems, settings.stems, settings.two_stems, dict(settings.mix))
            self.stems = tuple(mix.name for mix in self._mixes)
        self._separator = Once(self._load)
        self._speed = Once(self._measure)

    def plan(self, task: Task, progress: Progress) -> Written:
        """Find out what there is to do, and how long it will take; write nothing.

        The first song that is to be separated loads the model and measures its speed on this machine. Raises
        RtsepError for a song that cannot be read, EndOfRun if no song can be separated.
        """
        if task.url is not None:
            return deliver(task, self.plan, progress)
        seconds = self._checked(task)
        if self._skip_existing and self._manifest(task, Input.of(task.song)).is_fulfilled():
            return SKIPPED
        paths = list(task.outputs.values())
        estimate_s = None if seconds is None else round(seconds / self._speed(), 1)
        entry = {"outputs": [str(path) for path in paths], "seconds": seconds, "estimate_s": estimate_s}
        return Written(paths, entry, event="planned")

    def __call__(self, task: Task, progress: Progress) -> Written:
        """Do the work. Raises RtsepError for a song that fails, EndOfRun if the model cannot be loaded."""
        if task.url is not None:
            return deliver(task, self, progress)
        self._checked(task)  # an error now is one before the model is loaded, or all of the file is read
        source = Input.of(task.song)
        manifest = self._manifest(task, source)
        if self._skip_existing and manifest.is_fulfilled():
            return SKIPPED
        separator = None if task.is_copied else self._separator()
        manifest.remove()
        written = self._separate(task, source, separator, progress) if separator else self._copy(task, source)
        manifest.write()
        return written

    def _checked(self, task: Task) -> float | None:
        """How much of a song is separated, in seconds as its header states it; None while unknown, or for a copy.

        Raises RtsepError if it cannot be opened, or must not be separated.
        """
        if task.error:
            raise RtsepError(task.error)
        if task.is_copied:
            return None
        with open_audio(task.song, part=self._settings.part) as reader:
            return None if reader.frames is None else round(reader.frames / reader.sample_rate, 3)

    def _load(self) -> Separator:
        settings = self._settings
        return load(
            self._bundle.path,
            chunk=settings.chunk,
            device=self._compute,
            wiener=settings.wiener,
            tta=settings.tta,
            merge_artifacts=settings.merge_artifacts,
            mask_extension=settings.mask_extension,
            threads=self._threads,
        )

    def _measure(self) -> float:
        """Seconds of sound that are read, separated and written in a second."""
        with TemporaryDirectory(prefix="rtsep-") as place:
            outputs = {stem: Path(place) / f"{stem}.{self._settings.format}" for stem in self.stems}
            elapsed_s = 1.0
            for seconds in MEASURED_S:
                song = Path(place) / "noise.wav"
                samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2, seconds * SAMPLE_RATE)).astype(np.float32)
                with AtomicWav(song, SAMPLE_RATE, 2) as wav:
                    wav.write(samples)
                    wav.commit()
                began_s = time.perf_counter()
                write_song(song, outputs, self._mixes, self._separator(), form=self._form)
                elapsed_s = time.perf_counter() - began_s
        return MEASURED_S[-1] / elapsed_s

    def _manifest(self, task: Task, source: Input) -> Manifest:
        made_from: dict[str, Any] = {
            "rtsep": rtsep.__version__,
            "input": {"name": source.path.name, "bytes": source.size, "sha256": source.sha256},
        }
        if not task.is_copied:
            options = asdict(self._settings)
            del options["model"]
            made_from |= {"model": {"name": self._bundle.name, "sha256": self._bundle.sha256}, "options": options}
        return Manifest(task.outputs.values(), made_from)

    def _separate(self, task: Task, source: Input, separator: Separator, progress: Progress) -> Written:
        started_s = time.perf_counter()
        tags, notes = self._tags(task)
        result = write_song(
            task.song,
            task.outputs,
            self._mixes,
            separator,
            form=self._form,
            tags=tags,
            progress=progress,
            allow_damaged=self._settings.allow_damaged,
            part=self._settings.part,
            before_commit=source.check_unchanged,
        )
        notes = [*notes, *result.notes]
        seconds, elapsed_s = result.frames / result.sample_rate, time.perf_counter() - started_s
        entry = {
            "model": self._bundle.name,
            "stems": {stem: str(path) for stem, path in result.paths.items()},
            "sample_rate": result.sample_rate,
            "frames": result.frames,
            "seconds": round(seconds, 3),
            "elapsed_s": round(elapsed_s, 3),
            "times_realtime": round(seconds / elapsed_s, 2),
            "notes": notes,
        }
        return Written(list(result.paths.values()), entry, notes)

    def _tags(self, task: Task) -> tuple[dict[str, Tags], list[str]]:
        """The song's tags for each file, with its name in the title; a note if they cannot be read."""
        try:
            tags = read_tags(task.song)
        except RtsepError as error:
            return {}, [f"{error}; its stems have none"]
        title = tags.first("title") or task.song.stem
        if self._form.encoding.holds_all:
            return {self.stems[0]: tags}, []
        return {stem: tags.titled(f"{title} ({stem})") for stem in self.stems} if tags else {}, []

    def _copy(self, task: Task, source: Input) -> Written:
        """Copy a song that is instrumental already, as that stem."""
        (target,) = task.outputs.values()
        try:
            song = task.song.open("rb")
        except OSError as error:
            raise RtsepError(f"cannot read {task.song}: {error.strerror}") from error
        with song, replacing(target) as temporary:
            with create_temporary(temporary) as copy:
                shutil.copyfileobj(song, copy)
            source.check_unchanged()
        return Written([target], {"stems": {"instrumental": str(target)}})


def separate_song(
    task: Task,
    settings: Settings,
    compute: str = "auto",
    *,
    skip_existing: bool = False,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> Written:
    """Do the work on one song, in a process that loads the model for its first song and keeps it for the others.

    Arguments and result can be pickled, so any engine can run it in any process that sees the same files.

    Raises RtsepError for a song that fails, EndOfRun if no song can be separated like this.
    """
    try:
        work = _kept_work(settings, compute, skip_existing=skip_existing, threads=threads)
    except RtsepError as error:
        raise EndOfRun(error) from error
    return work(task, progress)


_kept_work = lru_cache(maxsize=1)(SongWork)
