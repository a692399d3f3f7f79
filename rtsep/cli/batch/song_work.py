"""The work on one song of a batch: skipped if it is done, else separated or copied, and noted in its manifest."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rtsep
from rtsep.audio.files.reader import open_audio
from rtsep.bundle import Bundle
from rtsep.cli.batch.manifest import Input, Manifest
from rtsep.cli.batch.run import Once, Progress, Written
from rtsep.cli.batch.tasks import Task
from rtsep.errors import RtsepError
from rtsep.files import create_temporary, replacing
from rtsep.separation.load import load
from rtsep.separation.options import find_playable
from rtsep.separation.separator import Separator
from rtsep.separation.song_files import split_file

SKIPPED = Written(entry={"skipped": True}, was_done=True)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the songs of a batch are separated: arguments of `rtsep.load`, and `allow_damaged` of `split_file`."""

    model: str
    chunk: int
    wiener: bool
    tta: str | None
    merge_artifacts: bool
    mask_extension: str | None
    allow_damaged: bool


class SongWork:
    """Separates songs one after the other, by a model that is loaded for the first one.

    Args:
        compute: processor for the network, as for `rtsep.load`.
        skip_existing: leave songs alone that are done.

    Raises RtsepError if there is no such model.
    """

    def __init__(self, settings: Settings, compute: str, *, skip_existing: bool) -> None:
        self._settings = settings
        self._compute = compute
        self._skip_existing = skip_existing
        self._bundle: Bundle = find_playable(settings.model)
        self._separator = Once(self._load)

    def outputs(self, task: Task) -> list[Path]:
        """The files that a task writes."""
        if task.is_copied:
            return [task.folder / f"instrumental{task.song.suffix.lower()}"]
        return [task.folder / f"{stem}.wav" for stem in self._bundle.recipe.stems]

    def plan(self, task: Task, progress: Progress) -> Written:
        """Find out what there is to do, and write nothing. Raises RtsepError for a song that cannot be read."""
        seconds = _seconds(task)
        if self._skip_existing and self._manifest(task, Input.of(task.song)).is_fulfilled():
            return SKIPPED
        paths = self.outputs(task)
        return Written(paths, {"outputs": [str(path) for path in paths], "seconds": seconds})

    def __call__(self, task: Task, progress: Progress) -> Written:
        """Do the work. Raises RtsepError for a song that fails, EndOfRun if the model cannot be loaded."""
        _seconds(task)  # an error now is one before the model is loaded, or all of the file is read
        source = Input.of(task.song)
        manifest = self._manifest(task, source)
        if self._skip_existing and manifest.is_fulfilled():
            return SKIPPED
        separator = None if task.is_copied else self._separator()
        manifest.remove()
        written = self._separate(task, source, separator, progress) if separator else self._copy(task, source)
        manifest.write()
        return written

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
        )

    def _manifest(self, task: Task, source: Input) -> Manifest:
        made_from: dict[str, Any] = {
            "rtsep": rtsep.__version__,
            "input": {"name": source.path.name, "bytes": source.size, "sha256": source.sha256},
        }
        if not task.is_copied:
            options = asdict(self._settings)
            del options["model"]
            made_from |= {"model": {"name": self._bundle.name, "sha256": self._bundle.sha256}, "options": options}
        return Manifest(self.outputs(task), made_from)

    def _separate(self, task: Task, source: Input, separator: Separator, progress: Progress) -> Written:
        started_s = time.perf_counter()
        result = split_file(
            task.song, task.folder, separator, progress, self._settings.allow_damaged, source.check_unchanged
        )
        seconds, elapsed_s = result.frames / result.sample_rate, time.perf_counter() - started_s
        entry = {
            "model": self._bundle.name,
            "stems": {stem: str(path) for stem, path in result.paths.items()},
            "sample_rate": result.sample_rate,
            "frames": result.frames,
            "seconds": round(seconds, 3),
            "elapsed_s": round(elapsed_s, 3),
            "times_realtime": round(seconds / elapsed_s, 2),
            "notes": result.notes,
        }
        return Written(list(result.paths.values()), entry, result.notes)

    def _copy(self, task: Task, source: Input) -> Written:
        """Copy a song that is instrumental already, as that stem."""
        (target,) = self.outputs(task)
        try:
            song = task.song.open("rb")
        except OSError as error:
            raise RtsepError(f"cannot read {task.song}: {error.strerror}") from error
        with song, replacing(target) as temporary:
            with create_temporary(temporary) as copy:
                shutil.copyfileobj(song, copy)
            source.check_unchanged()
        return Written([target], {"stems": {"instrumental": str(target)}})


def _seconds(task: Task) -> float | None:
    """Length of a song as its header states it; None while unknown, or where the song is only copied.

    Raises RtsepError if it cannot be opened.
    """
    if task.is_copied:
        return None
    with open_audio(task.song) as reader:
        return None if reader.frames is None else round(reader.frames / reader.sample_rate, 3)
