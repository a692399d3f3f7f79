"""Outputs at a URL are those that a folder gets, and resumed in the same way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtsep.cli.main import main
from tests.batch.test_parallel import contents, write_songs

fsspec = pytest.importorskip("fsspec")
Maker = Callable[..., Path]


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder in memory, or in a bucket of a local S3 server."""
    if request.param == "memory":
        yield "memory://bucket/out"
        fsspec.filesystem("memory").rm("/bucket", recursive=True)
        return
    pytest.importorskip("s3fs", reason="not installed: the extra s3")
    server = pytest.importorskip("moto.server", reason="not installed: moto[server]").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").mkdir("bucket")
    yield "s3://bucket/out"
    server.stop()


def stored(url: str) -> dict[str, bytes]:
    storage, root = fsspec.core.url_to_fs(url)
    return {path.removeprefix(root + "/"): storage.cat_file(path) for path in storage.find(root)}


def test_a_url_gets_what_a_folder_gets(
    tmp_path: Path, constant_bundle: Maker, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    songs = write_songs(tmp_path / "in", 2, 0.5)
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    words = ["separate", str(tmp_path / "in"), "--model", str(constant_bundle()), "--skip-existing", "--json", "-o"]

    def run(out: str, *more: str) -> list[dict[str, object]]:
        assert main([*words, out, *more]) == 3
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    expected = run(str(tmp_path / "out"))
    planned = run(url, "--dry-run")
    assert stored(url) == {}
    found = run(url + "/")
    assert stored(url) == contents(tmp_path / "out")
    for entries in (expected, found):
        assert [entry["event"] for entry in entries] == ["done", "done", "failed"]
    stems = [{stem: f"{url}/{song.stem}/{stem}.wav" for stem in ("vocals", "instrumental")} for song in songs]
    assert [entry["stems"] for entry in found[:2]] == stems
    assert [entry["outputs"] for entry in planned[:2]] == [list(each.values()) for each in stems]
    assert [entry["event"] for entry in run(url)] == ["skipped", "skipped", "failed"]
    storage, root = fsspec.core.url_to_fs(url)
    storage.rm_file(f"{root}/1/vocals.wav")
    assert [entry["event"] for entry in run(url)] == ["skipped", "done", "failed"]
    assert stored(url) == contents(tmp_path / "out")


def test_storage_that_refuses_fails_the_song_with_one_line(
    tmp_path: Path, constant_bundle: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (song,) = write_songs(tmp_path / "in", 1, 0.1)
    words = ["separate", str(song), "--model", str(constant_bundle()), "-o"]
    assert main([*words, "nosuch://bucket"]) == 2
    assert "--out nosuch://bucket" in capsys.readouterr().err
    storage = fsspec.filesystem("memory")

    def refuse(*arguments: object, **options: object) -> object:
        raise OSError("quota exceeded")

    monkeypatch.setattr(type(storage), "_open", refuse)
    assert main([*words, "memory://bucket/out"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("rtsep: cannot write memory://bucket/out/0/")
    assert said.endswith("quota exceeded\n")
    assert storage.find("/bucket") == []
