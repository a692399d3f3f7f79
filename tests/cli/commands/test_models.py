"""`rtsep models`: what is here, and what is wrong with it."""

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rtsep.bundle import DEFAULT_BUNDLE
from rtsep.cli.main import main

Maker = Callable[..., Path]


@pytest.fixture
def models(constant_bundle: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good model, one whose recipe is wrong, and one that waits for its weights; no others are found."""
    constant_bundle(vocals=0.25, other=0.75).rename(tmp_path / "good")
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "good").rename(folder / "good")
    (folder / "wrong").mkdir()
    (folder / "wrong" / "recipe.toml").write_text('name = "wrong"\nnetwrk = "x:Y"\n')
    (folder / "untrained").mkdir()
    (folder / "untrained" / "recipe.toml").write_text(
        'name = "untrained"\nnetwork = "rtsep.nn.frame_transformer:FrameTransformer"\n'
        'stems = ["vocals", "instrumental"]\n'
    )
    monkeypatch.setattr("rtsep.bundle.bundle_folders", lambda: [folder])
    return folder


def test_names_of_folders_do_not_control_the_terminal(
    models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (models / "good").rename(models / "good\x1b[2J")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    main(["models", "list"])
    main(["models", "check"])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"good\x1b[2J" in shown


def test_list_shows_which_model_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out) if row["default"]] == [DEFAULT_BUNDLE]
    assert main(["models", "list"]) == 0
    assert f"{DEFAULT_BUNDLE}  vocals, instrumental  (default for files)\n" in capsys.readouterr().out


def test_list_tells_stems_size_latency_licence_and_place(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    good = rows["good"]
    assert (good["stems"], good["parameters"], good["latency_ms"]) == (["vocals", "other"], 0, 92.9)
    assert good["path"] == str(models / "good")
    assert good["weights"] is True, "a network without parameters needs none"
    assert good["problem"] is None
    assert "licence" in good
    assert rows["untrained"]["weights"] is False
    assert rows["untrained"]["parameters"] > 1e6
    assert (good["gmac_per_s"], rows["untrained"]["gmac_per_s"] > 0.1) == (0.0, True)
    assert "netwrk" in rows["wrong"]["problem"], "one wrong recipe does not hide the others"
    assert main(["models", "list"]) == 0
    said = capsys.readouterr().out
    assert "good  vocals, other\n" in said
    assert "untrained  vocals, instrumental  (weights not downloaded)" in said
    assert "cannot be used: " in said
    assert "MIT" in said.splitlines()[-1]
    assert "FFTW (GPL 2 or later)" in said.splitlines()[-1]


@pytest.mark.usefixtures("models")
def test_check_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake = types.ModuleType("rtsep.nn.check")
    found: list[str] = []
    fake.__dict__["check_network"] = lambda network: found
    monkeypatch.setitem(sys.modules, "rtsep.nn.check", fake)
    assert main(["models", "check"]) == 3
    said = capsys.readouterr().out
    assert "good: ok" in said
    assert "untrained: weights not downloaded\n" in said, "that is nothing to mend"
    assert "netwrk" in said
    assert main(["models", "check", "good"]) == 0
    assert main(["models", "check", "untrained"]) == 1
    assert "untrained: FAILED\n    " in capsys.readouterr().out
    found.append("masks do not sum to one")
    capsys.readouterr()
    assert main(["models", "check", "good"]) == 1
    assert capsys.readouterr().out == "good: FAILED\n    masks do not sum to one\n"


@pytest.mark.usefixtures("models")
def test_a_good_model_passes_the_real_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", "good"]) == 0, capsys.readouterr()


class Unfinished(torch.nn.Module):
    """A network whose author has not come to the end."""

    def __init__(self, **sizes: object) -> None:
        raise NotImplementedError("not\nyet")


def test_a_network_that_raises_anything_is_one_broken_model(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = types.ModuleType("unfinished")
    fake.__dict__["Unfinished"] = Unfinished
    monkeypatch.setitem(sys.modules, "unfinished", fake)
    (models / "raising").mkdir()
    (models / "raising" / "recipe.toml").write_text(
        'name = "raising"\nnetwork = "unfinished:Unfinished"\nstems = ["vocals", "other"]\n'
    )
    assert main(["models", "check", "good", "raising"]) == 3
    assert capsys.readouterr().out == "good: ok\nraising: FAILED\n    NotImplementedError: not yet\n"
    assert main(["models", "list"]) == 0
    said = capsys.readouterr().out
    assert f"raising  {models / 'raising'}\n    cannot be used: NotImplementedError: not yet\n" in said
    assert "good  vocals, other\n" in said


@pytest.mark.usefixtures("models")
def test_an_unknown_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", "zzz"]) == 1
    said = capsys.readouterr().err
    assert "zzz" in said
    assert said.count("\n") == 1


def test_no_models_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("rtsep.bundle.bundle_folders", lambda: [tmp_path])
    assert main(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["models", "list"]) == 0
    assert str(tmp_path) in capsys.readouterr().err
    assert main(["models", "check"]) == 1
