"""Songs on a Ray cluster that runs already (the extra `ray`): one task for each song, which Ray schedules and retries.

All nodes see the songs, and the outputs unless they go to a URL, under the same paths, and have the same rtsep and
models. A node that is lost in the middle of a song leaves a hidden file; another one does that song anew, and gives it
its name.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from rtsep.batch.outcome import EndOfRun, Outcome, Outcomes
from rtsep.batch.song_work import Settings, separate_song
from rtsep.batch.tasks import Task
from rtsep.errors import MissingPackage, RtsepError, one_line

RETRIES = 3
"""How often a song is tried again whose process or node was lost."""
POLL_S = 1.0
ENDING_S = 10.0
CONNECT_S = 10.0


def run_on_ray(
    tasks: Sequence[Task], settings: Settings, compute: str, address: str, *, skip_existing: bool
) -> Outcomes:
    """Do the work of all tasks on the cluster at `address`, a core and a process for each; with `compute` cuda a GPU.

    Each process loads the model once. EndOfRun if there is no such cluster, or a node has no such model.
    """
    ray = _connect(address)
    try:
        resources = {"num_cpus": 1, "num_gpus": int(compute.startswith("cuda")), "max_retries": RETRIES}
        separate = ray.remote(**resources)(_separate)
        settings = replace(settings, model=_found_everywhere(settings.model))
        waiting = {separate.remote(_absolute(task), settings, compute, skip_existing): task for task in tasks}
        try:
            yield from _outcomes(ray, waiting)
        finally:
            for reference in waiting:
                ray.cancel(reference)
            if waiting:
                ray.wait(list(waiting), num_returns=len(waiting), timeout=ENDING_S)
    finally:
        ray.shutdown()


def _connect(address: str) -> ModuleType:
    try:
        ray = import_module("ray")
    except ImportError:
        raise EndOfRun(MissingPackage("--ray needs Ray, which is not installed: pip install 'rtsep[ray]'")) from None
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdecimal():  # Ray would wait for minutes
            socket.create_connection((host, int(port)), CONNECT_S).close()
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except Exception as error:  # of many kinds
        raise EndOfRun(RtsepError(f"--ray {address}: no Ray cluster answers there ({one_line(error)})")) from error
    return ray


def _outcomes(ray: ModuleType, waiting: dict[Any, Task]) -> Outcomes:
    """Take tasks out of `waiting` as they are done."""
    while waiting:
        done, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=POLL_S)
        for reference in done:
            task = waiting.pop(reference)
            try:
                outcome: Outcome | EndOfRun = ray.get(reference)
            except ray.exceptions.RayError as error:
                outcome = RtsepError(f"{task.song}: Ray could not separate it ({one_line(error)})")
            if isinstance(outcome, EndOfRun):
                raise outcome
            yield task, outcome


def _separate(task: Task, settings: Settings, compute: str, skip_existing: bool) -> Outcome | EndOfRun:
    """What a task of Ray does."""
    try:
        return separate_song(task, settings, compute, skip_existing=skip_existing, threads=1)
    except (RtsepError, EndOfRun) as error:
        return error


def _absolute(task: Task) -> Task:
    """The same task for a process with another working folder."""
    if task.url is not None:
        return replace(task, song=task.song.absolute())
    outputs: Mapping[str, Path] = {stem: path.absolute() for stem, path in task.outputs.items()}
    return replace(task, song=task.song.absolute(), outputs=outputs)


def _found_everywhere(model: str) -> str:
    """A model by name, or by the absolute path of its folder."""
    return os.path.abspath(model) if os.path.isfile(os.path.join(model, "recipe.toml")) else model
