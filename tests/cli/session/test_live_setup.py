"""The dialogue of `rtsep live --setup`, with virtual devices: a monitor is the cable."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.cli.main import main
from rtsep.cli.session import live_setup
from rtsep.cli.session.live_setup import APPS, run_setup
from rtsep.errors import RtsepError
from tests.audio.programs.programs import playing
from tests.virtual_audio import VirtualAudio


def test_the_dialogue_ends_with_the_command(
    virtual_audio: VirtualAudio, tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_setup, "LISTEN_S", 0.5)
    np.full(2 * 44100 * 20, 0.5, np.float32).tofile(tmp_path / "loud")
    asked: list[str] = []
    answers = iter(["7", "x", "", "", "", "", "", ""])

    def ask(question: str) -> str:
        asked.append(question)
        return next(answers)

    with playing("Band", sound=tmp_path / "loud"):
        assert run_setup("darwin", ask) == 0
    out = capsys.readouterr().out
    assert "choose rt_out_monitor" in out
    assert "(-6 dBFS at most)" in out
    assert out.splitlines()[-1].startswith("rtsep live --input rt_out_monitor --output ")
    assert "rt_out " not in out.partition("hear it?")[2].replace("rt_out_monitor", "")  # it would hear itself
    with pytest.raises(RtsepError, match='no sound arrived from "rt_out_monitor"'):
        run_setup("win32", ask)


def test_without_a_cable_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_setup, "list_devices", list)
    with pytest.raises(RtsepError, match="brew install blackhole-2ch"):
        run_setup("darwin")
    with pytest.raises(RtsepError, match="VB-Cable"):
        run_setup("win32")
    assert main(["live", "--setup"]) == 0  # on Linux, where these tests run
    assert capsys.readouterr().out == f"{APPS}\n"
