"""Files are complete under their name or not there, whatever happens while they are written."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest

from rtsep.errors import RtsepError
from rtsep.files import create_temporary, remove_abandoned, replacing, temporary_path, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_replaces_the_older_one_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, RtsepError])
def test_after_an_exception_nothing_has_changed(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["x" * 255, "歌" * 85, "\udcff" * 200, ".hidden", "a b\nc"])
def test_names_of_any_length_and_script_have_a_temporary_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"
    assert len(os.fsencode(temporary_path(path).name)) <= 255
    assert temporary_path(path) != temporary_path(path)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    class TestError(RtsepError):
        pass

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(TestError, match=rf"no space left to write {tmp_path}/file: the file system, or ulimit -f,"):
            write_atomically(tmp_path / "file", bytes(200), TestError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RtsepError, match=r"^cannot write .*(File exists|Not a directory)$"):
        write_atomically(tmp_path / "file" / "inside", b"")


def test_temporary_files_of_killed_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    used, left = tmp_path / "used", tmp_path / "left"
    for folder in (used, left):
        folder.mkdir()
        temporary_path(folder / "a\nb.wav").write_bytes(b"half")
    (used / "song.part").touch()
    with create_temporary(temporary_path(used / "song")) as file:
        for folder in (used, left, tmp_path / "missing", used / "song.part"):
            remove_abandoned(folder)
        assert names(used) == sorted([Path(file.name).name, "song.part"])
    assert names(tmp_path) == ["used"]
    remove_abandoned(used)
    assert names(used) == ["song.part"]
