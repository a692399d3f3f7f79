"""A batch of songs, from what somebody names to what came of each: what a command, a program or a page runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rtsep.batch.cluster import run_on_ray
from rtsep.batch.inputs import find_inputs
from rtsep.batch.naming import DEFAULT, Template, UsedPaths
from rtsep.batch.outcome import Outcomes, TaskProgress, one_by_one
from rtsep.batch.parallel import count_jobs, run_in_processes
from rtsep.batch.remote import check_url
from rtsep.batch.song_work import Settings, SongWork
from rtsep.batch.tasks import Task, plan_tasks
from rtsep.batch.watch import arriving_songs
from rtsep.errors import UsageError
from rtsep.files import remove_abandoned


def _no_progress(task: Task, done: int, total: int | None) -> None:
    pass


class Batch:
    """Songs and the files that each of them becomes below `out`, a folder or as text a URL that fsspec knows.

    Args:
        files: audio files, folders with all folders in them, patterns, playlists (.m3u) and job files (.json).
        compute: processor for the network: auto, cpu, cuda or cuda:N.
        template: of the paths of the outputs.
        skip_existing: leave songs alone that are done: see `rtsep.batch.manifest`.
        jobs: songs at a time, each in a process with one thread; 1: in this process. None: as many as there are cores,
            one on a GPU.
        ray: address of a Ray cluster that separates them instead, as `ray.init` takes it.

    Attributes:
        tasks: in the order of the files; also what cannot be read, which fails when its turn comes.
        notes: a line for everything that is left out.
        jobs: how many songs are separated at a time.

    Raises RtsepError if there is no such model, or a package for the format or the URL is missing; UsageError for
    settings that do not fit each other or the model.
    """

    def __init__(
        self,
        files: Iterable[Path],
        out: Path | str,
        settings: Settings,
        *,
        compute: str = "auto",
        template: Template = DEFAULT,
        skip_existing: bool = False,
        jobs: int | None = 1,
        ray: str | None = None,
    ) -> None:
        if ray is not None and jobs != 1:
            raise UsageError("--ray and --jobs both say how many songs are separated at a time: choose one")
        self._ray = ray
        self._settings, self._compute, self._skip_existing = settings, compute, skip_existing
        self._work = SongWork(settings, compute, skip_existing=skip_existing)
        template.check(len(self._work.stems))
        self._url = out.rstrip("/") if isinstance(out, str) else None
        if self._url is not None:
            check_url(self._url)
        self._out, self._template, self._jobs = Path(out), template, jobs
        self._used = UsedPaths()
        inputs = find_inputs(files, self._out)
        self.notes = inputs.notes
        self.tasks = self._plan(inputs.songs)
        self.jobs = count_jobs(jobs, compute, len(self.tasks))

    def plan(self) -> Outcomes:
        """Find out what there is to do, and how long each song will take with as many threads as one gets."""
        work = self._work
        if self.jobs > 1:
            work = SongWork(self._settings, self._compute, skip_existing=self._skip_existing, threads=1)
        return one_by_one(self.tasks, work.plan, _no_progress)

    def run(self, progress: TaskProgress = _no_progress) -> Outcomes:
        """Separate the songs, as their outcomes are asked for. EndOfRun if no song can be separated.

        What `progress` raises ends the run and comes out of it.
        """
        return self._separate(self.tasks, progress)

    def watch(self, folders: Sequence[Path], progress: TaskProgress = _no_progress) -> Outcomes:
        """Separate what is in folders, and every song that arrives there when it is complete. It never ends.

        Raises MissingPackage without watchfiles, UsageError for what is not a folder.
        """
        return self._watch(arriving_songs(folders, self._out), progress)

    def _watch(self, arrivals: Iterator[list[Path]], progress: TaskProgress) -> Outcomes:
        known: dict[Path, Task] = {}
        for songs in arrivals:
            new = [song for song in songs if song not in known]
            known |= zip(new, self._plan(new), strict=True)
            yield from self._separate([known[song] for song in songs], progress)

    def _plan(self, songs: Sequence[Path]) -> list[Task]:
        settings = self._settings
        tasks = plan_tasks(songs, self._out, self._work.stems, settings.format, self._template, self._used)
        return [replace(task, url=self._url) for task in tasks]

    def _separate(self, tasks: Sequence[Task], progress: TaskProgress) -> Outcomes:
        _remove_abandoned(tasks)
        if self._ray is not None:
            return self._separate_on_ray(tasks, self._ray)
        jobs = count_jobs(self._jobs, self._compute, len(tasks))
        if jobs == 1:
            return one_by_one(tasks, self._work, progress)
        return run_in_processes(
            tasks, self._settings, self._compute, jobs, skip_existing=self._skip_existing, progress=progress
        )

    def _separate_on_ray(self, tasks: Sequence[Task], address: str) -> Outcomes:
        yield from run_on_ray(tasks, self._settings, self._compute, address, skip_existing=self._skip_existing)
        _remove_abandoned(tasks)  # by nodes that were lost


def _remove_abandoned(tasks: Iterable[Task]) -> None:
    for folder in {path.parent for task in tasks for path in task.outputs.values()}:
        remove_abandoned(folder)
