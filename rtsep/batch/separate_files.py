"""Separation of many songs to files: `rtsep.separate_files`, which is `rtsep separate` from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtsep.batch.batch import Batch
from rtsep.batch.naming import template_for
from rtsep.batch.outcome import EndOfRun
from rtsep.batch.remote import is_url
from rtsep.batch.song_work import Settings
from rtsep.batch.tasks import Task
from rtsep.errors import RtsepError, UsageError
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.separation.cancel import Cancel, check
from rtsep.separation.default_model import default_model
from rtsep.separation.song_outputs import Clip


@dataclass(frozen=True)
class SongResult:
    """What came of one song.

    Attributes:
        song: the file.
        event: done; skipped, if an earlier run did the same; or failed.
        outputs: stem -> file; empty if the song failed.
        notes: lines worth saying, such as damage in the file.
        error: what is wrong with the song, if it failed.
    """

    song: Path
    event: Literal["done", "skipped", "failed"]
    outputs: Mapping[str, Path]
    notes: Sequence[str] = ()
    error: RtsepError | None = None


def separate_files(
    files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    model: str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
    chunk: int = MAX_CHUNK,
    wiener: bool = False,
    tta: str | None = None,
    merge_artifacts: bool = False,
    mask_extension: str | None = None,
    allow_damaged: bool = False,
    start: float = 0.0,
    seconds: float | None = None,
    template: str | None = None,
    format: str = "wav",
    bits: int | None = None,
    bitrate: int | None = None,
    stems: Sequence[str] = (),
    two_stems: str | None = None,
    mix: Mapping[str, float] | None = None,
    clip: Clip | None = None,
    skip_existing: bool = False,
    jobs: int | None = 1,
    progress: Callable[[Path, int, int | None], object] | None = None,
    cancel: Cancel | None = None,
) -> Iterator[SongResult]:
    """Separate songs to files below `out`, with tags, cover art and a manifest, as `rtsep separate` does.

    A song is separated when its result is asked for. One that fails has a result too, and the next one follows.

    Args:
        files: audio files, folders with all folders in them, patterns such as "music/**/*.flac", playlists (.m3u), job
            files (.json).
        model: name or folder of a model; None is the best at hand that this machine plays.
        device: auto, cpu, cuda or cuda:N.
        start, seconds: the part of each song.
        mix: gains in dB by stem, -inf for silence: write their sum.
        jobs: songs at a time, each in a process with one thread; None: as many as there are cores, one on a GPU.
        progress: called with the song, its samples done and their total, None while that is unknown. What it raises
            ends the run and comes out of it.
        cancel: called between blocks and songs, such as `is_set` of a `threading.Event`; when it returns true, the run
            ends and raises Cancelled. What is half-written is removed.

    The others are the options of `rtsep separate`.

    Raises RtsepError if there is no such model or device, ArgumentError (a ValueError too) or UsageError for options
    that are not possible or do not fit each other; Cancelled.
    """
    settings = Settings(
        model=default_model(device) if model is None else os.fspath(model),
        chunk=chunk,
        wiener=wiener,
        tta=tta,
        merge_artifacts=merge_artifacts,
        mask_extension=mask_extension,
        allow_damaged=allow_damaged,
        start=start,
        seconds=seconds,
        stems=tuple(stems),
        two_stems=two_stems,
        mix=tuple((mix or {}).items()),
        format=format,
        bits=bits,
        bitrate=bitrate,
        clip=clip,
    )
    if is_url(os.fspath(out)):
        raise UsageError(f"out={out!r}: expected a folder; URLs are for the command, rtsep separate")
    named = [files] if isinstance(files, str | os.PathLike) else files
    batch = Batch(
        map(Path, named),
        Path(out),
        settings,
        compute=device,
        template=template_for(template, format),
        skip_existing=skip_existing,
        jobs=jobs,
    )
    return _results(batch, progress, cancel)


def _results(
    batch: Batch, progress: Callable[[Path, int, int | None], object] | None, cancel: Cancel | None
) -> Iterator[SongResult]:
    def show(task: Task, done: int, total: int | None) -> None:
        check(cancel)
        if progress is not None:
            progress(task.song, done, total)

    check(cancel)
    try:
        with closing(batch.run(show)) as outcomes:
            for task, outcome in outcomes:
                if isinstance(outcome, RtsepError):
                    yield SongResult(task.song, "failed", {}, error=outcome)
                else:
                    event = "skipped" if outcome.event == "skipped" else "done"
                    yield SongResult(task.song, event, task.outputs, outcome.notes)
                check(cancel)
    except EndOfRun as end:
        raise end.error from end
