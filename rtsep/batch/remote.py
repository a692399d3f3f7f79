"""Outputs at a URL that fsspec knows, such as s3://bucket/folder (the extra `s3`).

A song is separated into a temporary folder. Its files are then sent, as one transaction where the storage has such, and
after them its manifest, so that a song is done only if all of it is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rtsep.batch.manifest import Manifest
from rtsep.batch.outcome import Progress, Written
from rtsep.batch.tasks import Task
from rtsep.errors import MissingPackage, RtsepError, UsageError, one_line


def is_url(place: str) -> bool:
    """Whether a text is a URL, and not a path."""
    return "://" in place


def check_url(url: str) -> None:
    """Raise MissingPackage or UsageError if nothing can be written there."""
    _file_system(url)


def deliver(task: Task, work: Callable[[Task, Progress], Written], progress: Progress) -> Written:
    """Do the work on a task in a temporary folder, and send what it wrote to the task's URL.

    `work` finds the manifest of an earlier run, and files of the sizes that are there: it can tell whether the song is
    done. Raises RtsepError if the storage refuses.
    """
    assert task.url is not None
    with TemporaryDirectory(prefix="rtsep-") as folder:
        names = {stem: path.relative_to(Path(task.url)) for stem, path in task.outputs.items()}
        outputs = {stem: folder / name for stem, name in names.items()}
        manifest = Manifest(outputs.values(), {}).path
        sent = {path: f"{task.url}/{path.relative_to(folder).as_posix()}" for path in (*outputs.values(), manifest)}
        with _errors(f"cannot read {sent[manifest]}"):
            _fetch_stand_ins(sent, manifest)
        written = work(replace(task, outputs=outputs, url=None), progress)
        if written.event == "done":
            with _errors(f"cannot write {sent[manifest]}"):
                _send(sent, manifest)
    return Written(
        [sent.get(Path(path), path) for path in written.paths],
        _renamed(dict(written.entry), folder, task.url),
        [note.replace(folder, task.url) for note in written.notes],
        written.event,
    )


def _file_system(url: str) -> Any:
    """fsspec's file system of a URL."""
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(url)[0]
    except ImportError as error:
        raise MissingPackage(f"--out {url}: {one_line(error)} (for s3: pip install 'rtsep[s3]')") from None
    except ValueError as error:
        raise UsageError(f"--out {url}: {one_line(error)}") from error


def _fetch_stand_ins(sent: dict[Path, str], manifest: Path) -> None:
    """The manifest at the URL, and empty files of the sizes there; nothing if one of them is missing."""
    storage = _file_system(sent[manifest])
    try:
        content = storage.cat_file(sent[manifest])
        sizes = {path: storage.info(url)["size"] for path, url in sent.items() if path != manifest}
    except FileNotFoundError:
        return
    for path, size in sizes.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)  # which takes no space
    manifest.write_bytes(content)


def _send(sent: dict[Path, str], manifest: Path) -> None:
    storage = _file_system(sent[manifest])
    for parent in {url.rpartition("/")[0] for url in sent.values()}:
        storage.makedirs(parent, exist_ok=True)
    if storage.exists(sent[manifest]):
        storage.rm_file(sent[manifest])
    for paths in ([path for path in sent if path != manifest], [manifest]):
        with storage.transaction:
            for path in paths:
                with path.open("rb") as file, storage.open(sent[path], "wb") as target:
                    shutil.copyfileobj(file, target)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """Storages raise errors of many kinds."""
    try:
        yield
    except RtsepError:
        raise
    except Exception as error:
        raise RtsepError(f"{what}: {one_line(error)}") from error


def _renamed(value: Any, folder: str, url: str) -> Any:
    """A JSON value with the URL in place of the folder in all texts."""
    if isinstance(value, str):
        return value.replace(folder, url)
    if isinstance(value, list):
        return [_renamed(each, folder, url) for each in value]
    if isinstance(value, dict):
        return {key: _renamed(each, folder, url) for key, each in value.items()}
    return value
