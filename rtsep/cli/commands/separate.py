"""`rtsep separate`: stems as files, by the very engine that plays them."""

import json as json_format
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rtsep.cli.arguments import Chunk, Compute, Files, Flag, Model, OutputFolder, Tta
from rtsep.cli.batch_jobs import read_job
from rtsep.cli.output.progress_line import ProgressLine
from rtsep.errors import RtsepError
from rtsep.files import replacing
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.system.allocator import keep_freed_memory


def separate(
    files: Files,
    /,
    *,
    out: Annotated[OutputFolder, Parameter(name=("--out", "-o"))],
    model: Model = None,
    chunk: Chunk = MAX_CHUNK,
    compute: Compute = "auto",
    wiener: Flag = False,
    tta: Tta = None,
    merge_artifacts: Flag = False,
    json: Flag = False,
) -> int:
    """Write the stems of audio files.

    OUT/TRACK/STEM.wav, 32-bit float, at the file's own rate and exact length. Stems that masks cut out sum to
    the file; those of networks that give waveforms (HT Demucs) need not.
    TRACK is the file's name without its ending; of several with one name the second becomes "NAME (2)".
    What an earlier run wrote under that name is replaced. The paths written are printed; a file that fails leaves none.
    A .json file is a job: "convert" and "copy" list files (these are instrumental already), "output" a folder in OUT.

    Parameters
    ----------
    out
        Folder for the stems.
    chunk
        Frames the network takes in one step, 1 to 32.
    wiener
        Tell the stems apart by where they stand in the stereo picture too (multichannel Wiener filter): each file is
        heard twice, and its stems need not sum to it.
    tta
        For networks of fixed windows: the mean with windows that begin elsewhere, shifted (half of what each keeps) or
        sliding (half a window, both ways).
    merge_artifacts
        For vocal removers: where no voice sounds for long, the instrumental is the song itself.
    json
        One JSON object a file on stdout instead of paths.
    """
    tasks = _tasks(files, out)
    keep_freed_memory()
    from rtsep.separation.load import load
    from rtsep.separation.song_files import split_file

    separator = load(model, chunk=chunk, device=compute, wiener=wiener, tta=tta, merge_artifacts=merge_artifacts)

    failed = 0
    for number, task in enumerate(tasks, start=1):
        file, track = task.file, task.folder.name
        said = f"[{number}/{len(tasks)}] {track}" if len(tasks) > 1 else track
        began = time.perf_counter()
        try:
            if task.copied:
                copy = _copy(file, task.folder)
                if json:
                    _print_json({"file": str(file), "stems": {"instrumental": str(copy)}})
                else:
                    print(copy, flush=True)
                continue
            with ProgressLine() as line:
                result = split_file(file, task.folder, separator, partial(line.show, said))
        except RtsepError as error:
            failed += 1
            print(f"rtsep: {error}", file=sys.stderr)
            if json:
                _print_json({"file": str(file), "error": str(error)})
            continue
        for note in result.notes:
            print(f"rtsep: {note}", file=sys.stderr)
        if json:
            seconds = result.frames / result.sample_rate
            elapsed = time.perf_counter() - began
            _print_json(
                {
                    "file": str(file),
                    "stems": {stem: str(path) for stem, path in result.paths.items()},
                    "sample_rate": result.sample_rate,
                    "frames": result.frames,
                    "seconds": round(seconds, 3),
                    "elapsed_s": round(elapsed, 3),
                    "times_realtime": round(seconds / elapsed, 2),
                    "notes": result.notes,
                }
            )
        else:
            print(*result.paths.values(), sep="\n", flush=True)
    if failed:
        return 3 if failed < len(tasks) else 1
    return 0


@dataclass(frozen=True)
class _Task:
    file: Path
    folder: Path
    copied: bool


def _tasks(files: Sequence[Path], out: Path) -> list[_Task]:
    """Songs by themselves and those of jobs, folder by folder; no two of them have the same place."""
    asked: list[tuple[Path, Path, bool]] = []  # song, folder, copied
    for file in files:
        if file.suffix.lower() == ".json":
            convert, copy, folder = read_job(file)
            asked += [(song, out / folder, False) for song in convert]
            asked += [(song, out / folder, True) for song in copy]
        else:
            asked.append((file, out, False))
    tasks: list[_Task] = []
    for folder in dict.fromkeys(folder for _, folder, _ in asked):
        here = [(song, copied) for song, place, copied in asked if place == folder]
        tracks = track_names([song for song, _ in here])
        tasks += [_Task(song, folder / track, copied) for (song, copied), track in zip(here, tracks, strict=True)]
    return tasks


def _copy(file: Path, folder: Path) -> Path:
    """A song that is instrumental already, as that stem. Returns its place; RtsepError if it cannot be copied."""
    target = folder / f"instrumental{file.suffix.lower()}"
    try:
        source = file.open("rb")
    except OSError as error:
        raise RtsepError(f"{file}: {error.strerror}") from error
    with source, replacing(target) as temporary, temporary.open("xb") as copy:
        shutil.copyfileobj(source, copy)
    return target


def track_names(files: Sequence[Path]) -> list[str]:
    """A folder name for each file, none twice, not even on file systems that ignore case."""
    names: list[str] = []
    taken: set[str] = set()
    for file in files:
        base = file.stem if file.stem.strip(". ") else "track"
        name, count = base, 1
        while name.casefold() in taken:
            count += 1
            name = f"{base} ({count})"
        taken.add(name.casefold())
        names.append(name)
    return names


def _print_json(entry: dict[str, object]) -> None:
    print(json_format.dumps(entry), flush=True)
