"""What a run separates: each song with the folder for its stems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtsep.cli.batch.job_file import read_job


@dataclass(frozen=True)
class Task:
    """A song, the folder for its stems, and whether it is copied as it is because it is instrumental already."""

    song: Path
    folder: Path
    is_copied: bool = False

    @property
    def track(self) -> str:
        """Name of the folder."""
        return self.folder.name


def plan_tasks(files: Sequence[Path], out: Path) -> list[Task]:
    """Return the tasks for audio files and job files (.json), each with a folder of its own in `out`.

    Raises RtsepError for a job file that is not valid.
    """
    songs: list[tuple[Path, Path, bool]] = []  # song, parent of its folder, whether it is copied
    for file in files:
        if file.suffix.lower() == ".json":
            convert, copy, folder = read_job(file)
            songs += [(song, out / folder, False) for song in convert]
            songs += [(song, out / folder, True) for song in copy]
        else:
            songs.append((file, out, False))
    tasks: list[Task] = []
    for parent in dict.fromkeys(parent for _, parent, _ in songs):
        here = [(song, is_copied) for song, place, is_copied in songs if place == parent]
        tracks = track_names([song for song, _ in here])
        tasks += [Task(song, parent / track, copied) for (song, copied), track in zip(here, tracks, strict=True)]
    return tasks


def track_names(files: Sequence[Path]) -> list[str]:
    """Return a folder name for each file, all different, also on file systems that ignore case."""
    names: list[str] = []
    used: set[str] = set()
    for file in files:
        base = file.stem if file.stem.strip(". ") else "track"
        name, count = base, 1
        while name.casefold() in used:
            count += 1
            name = f"{base} ({count})"
        used.add(name.casefold())
        names.append(name)
    return names
