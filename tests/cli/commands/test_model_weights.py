"""`rtsep models get` and `import`: what they tell, and what they refuse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rtsep.cli.main import main
from tests.conftest import REPOSITORY
from tests.convert.published_files import ARCHIVE, spleeter_archive, spleeter_folder
from tests.convert.web import Web, serve


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder; beside it there are recipes without weights: of a published model, one that plays its weights,
    and one of our own."""
    for name in ("spleeter-2stems", "spleeter-live-2stems", "player-unet"):
        shutil.copytree(REPOSITORY / "models" / name, tmp_path / "recipes" / name)
    monkeypatch.delenv("MODEL_PATH", raising=False)
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(tmp_path / "models"))
    monkeypatch.setattr("rtsep.bundle.bundle_folders", lambda: [tmp_path / "models", tmp_path / "recipes"])
    return tmp_path / "models"


@pytest.fixture
def web(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Where Spleeter is published, in a release without sums."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as server:
        monkeypatch.setenv("GITHUB_HOST", server.address)
        monkeypatch.setenv("GITHUB_RELEASE", "test")
        yield server


def listed(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["models", "list", "--json"]) == 0
    return next(row for row in json.loads(capsys.readouterr().out) if row["name"] == name)


def test_a_model_is_fetched_listed_and_separates(
    web: Web, models: Path, tmp_path: Path, short_wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = listed("spleeter-2stems", capsys)
    assert (row["weights"], row["published"]) == (False, True)
    web.page(ARCHIVE, spleeter_archive(tmp_path))
    assert main(["models", "get", "spleeter-2stems"]) == 0
    told = capsys.readouterr()
    assert "    licence: MIT (Deezer)\n" in told.out
    assert "    source: https://github.com/deezer/spleeter\n" in told.out
    assert f"    address: {web.address}{ARCHIVE}\n" in told.out
    assert "    sha256: unknown (not published)\n" in told.out
    assert told.out.endswith(f"    {models / 'spleeter-2stems'}\n")
    assert "recorded sha256" in told.err
    row = listed("spleeter-2stems", capsys)
    assert (row["weights"], row["licence"], row["path"]) == (True, "MIT (Deezer)", str(models / "spleeter-2stems"))
    assert main(["separate", str(short_wav), "-o", str(tmp_path / "out"), "--model", "spleeter-2stems"]) == 0
    vocals = np.fromfile(tmp_path / "out" / short_wav.stem / "vocals.wav", np.uint8)
    assert vocals.any()


def test_a_model_that_plays_the_weights_of_another_gets_those(
    web: Web, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    web.page(ARCHIVE, spleeter_archive(tmp_path))
    before = listed("spleeter-live-2stems", capsys)
    assert (before["weights"], before["published"]) == (False, True)
    assert main(["models", "get", "spleeter-live-2stems"]) == 0
    assert "spleeter-2stems" in capsys.readouterr().out
    assert [folder.name for folder in models.glob("*/weights.safetensors")] == ["weights.safetensors"]
    assert (models / "spleeter-2stems" / "weights.safetensors").exists()


def test_progress_is_shown_on_a_terminal(
    web: Web, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    web.page(ARCHIVE, spleeter_archive(tmp_path))
    monkeypatch.setattr("rtsep.cli.output.progress_line.TERMINAL_S", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["models", "get", "spleeter-2stems"]) == 0
    assert "spleeter-2stems  100%" in capsys.readouterr().err


@pytest.mark.usefixtures("models")
def test_what_can_be_fetched_is_told_where_weights_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    said = capsys.readouterr().out
    assert "spleeter-2stems  vocals, instrumental  (weights not downloaded: `rtsep models get spleeter-2stems`)" in said
    assert "(weights not downloaded)" in said, "of what nobody has published"


@pytest.mark.usefixtures("models")
def test_what_is_not_fetched_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "get", "zzz"]) == 1
    said = capsys.readouterr().err
    assert "'zzz': available for spleeter-2stems" in said
    assert said.count("\n") == 1
    assert main(["models", "get", "carperbr-b"]) == 1
    told = capsys.readouterr()
    assert "licence: MIT" in told.out
    assert "`rtsep models import FILE --as carperbr-b`" in told.err
    assert told.err.count("\n") == 1


def test_weights_from_disk_are_imported(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = spleeter_folder(tmp_path / "run")
    assert main(["models", "import", str(folder), "--as", "my.spleeter-2"]) == 0
    expected = f"my.spleeter-2  vocals, instrumental\n    licence: unknown\n    {models / 'my.spleeter-2'}\n"
    assert capsys.readouterr().out == expected
    assert main(["models", "import", str(folder), "--as", "my.spleeter-2"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("packed", [False, True])
def test_a_full_disk_is_one_line(packed: bool, models: Path, tmp_path: Path) -> None:
    """In a process whose files may not grow beyond 2 kB once it has started."""
    source = spleeter_folder(tmp_path / "run")
    if packed:
        source = tmp_path / "run.tar.gz"
        source.write_bytes(spleeter_archive(tmp_path))
    code = (
        "import resource, sys; import rtsep.convert.install; from rtsep.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "models", "import", str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    said = f"cannot unpack {source}" if packed else f"no space left to write {models / 'spleeter-2stems'}{os.sep}"
    assert done.stderr.startswith(f"rtsep: {said}")
    assert done.stderr.count("\n") == 1
    assert list(models.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "/x", "", ".x", "a/b", "a\\b", "-x"])
def test_names_that_are_none_are_refused(name: str, models: Path, tmp_path: Path) -> None:
    assert main(["models", "import", str(spleeter_folder(tmp_path / "run")), f"--as={name}"]) == 2
    assert not models.exists()
