"""What a run separates: each song with the files that it becomes."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rtsep.audio.files.tags import Tags, read_tags
from rtsep.batch.job_file import read_job
from rtsep.batch.naming import DEFAULT, Template, UsedPaths, fields_of
from rtsep.errors import RtsepError


@dataclass(frozen=True, eq=False)
class Task:
    """A song, the files for its stems by name, and whether it is copied as it is because it is instrumental already.

    `error` is what is known to be wrong with it before it is opened. The files go below `url` if there is one, and are
    named as if it were a folder.
    """

    song: Path
    outputs: Mapping[str, Path]
    is_copied: bool = False
    error: str | None = None
    url: str | None = None

    @property
    def folder(self) -> Path:
        """The folder that holds its files."""
        return Path(os.path.commonpath([path.parent for path in self.outputs.values()]))

    @property
    def track(self) -> str:
        """Its name in progress lines."""
        return self.song.stem


def plan_tasks(
    files: Sequence[Path],
    out: Path,
    stems: Collection[str],
    ext: str = "wav",
    template: Template = DEFAULT,
    used: UsedPaths | None = None,
) -> list[Task]:
    """Return the tasks for audio files and job files (.json). No two of them write the same file, or replace a song.

    Args:
        stems: names of the files that a song becomes.
        ext: their extension.
        used: paths of earlier tasks, which none of these writes either.

    Raises RtsepError for a job file that is not valid.
    """
    songs: list[tuple[Path, Path, bool]] = []  # song, root of its outputs, whether it is copied
    for file in files:
        if file.suffix.lower() == ".json":
            convert, copy, folder = read_job(file)
            songs += [(song, out / folder, False) for song in convert]
            songs += [(song, out / folder, True) for song in copy]
        else:
            songs.append((file, out, False))
    sources = {os.path.realpath(song): song for song, _, _ in songs}
    used = used or UsedPaths()
    tasks: list[Task] = []
    for song, root, is_copied in songs:
        fields = fields_of(song, _tags(song, template), song.suffix.lower().lstrip(".") if is_copied else ext)
        names = ("instrumental",) if is_copied else stems
        paths = used.claim(partial(template.paths, fields, names, root=root))
        others = (sources.get(os.path.realpath(path), song) for path in paths.values())
        replaced = next((other for other in others if other != song), None)
        error = f"{replaced} would be replaced by a stem of {song}; choose another --out or --template"
        tasks.append(Task(song, paths, is_copied, error if replaced else None))
    return tasks


def track_names(files: Sequence[Path]) -> list[str]:
    """Return a folder name for each file, all different, also on file systems that ignore case."""
    used = UsedPaths()
    fields = [fields_of(file, Tags(), "wav") for file in files]
    return [used.claim(partial(DEFAULT.paths, each, ("",)))[""].parent.name for each in fields]


def _tags(song: Path, template: Template) -> Tags:
    """The tags that a name is made from; none where they cannot be read, which is reported when they are copied."""
    if not template.needs_tags:
        return Tags()
    try:
        return read_tags(song)
    except RtsepError:
        return Tags()
