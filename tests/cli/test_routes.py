"""`--to`: a stem on channels of its own, as the other end of a cable of four channels hears it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from tests.cli.running import rtsep
from tests.conftest import REPOSITORY
from tests.listening import Recorder, place_of
from tests.virtual_audio import VirtualAudio

RATE = 44100
PIECE = 4001


def assert_vocals_are_a_quarter_on_3_and_4(heard: np.ndarray, mixture: np.ndarray) -> None:
    """`heard` (4, n) of a model whose vocals are a quarter of `mixture` (2, n): all add up to it.

    Piece by piece, since a busy machine breaks live sound off; where stems were late the mixture was on 1 and 2.
    """
    whole = heard[:2] + heard[2:]
    sounding = np.flatnonzero(np.abs(whole[0]) > 1e-4)
    begin, end = sounding[0] + RATE // 2, sounding[-1] - 10_000  # a live recording begins a moment after the sound
    assert end - begin > RATE
    found = []
    for at in range(begin, end - PIECE, PIECE):
        piece, vocals = whole[:, at : at + PIECE], heard[2:, at : at + PIECE]
        place = place_of(piece[0], mixture[0])
        song = mixture[:, place : place + PIECE]
        found.append(np.abs(piece - song).max() < 1e-4 and np.abs(vocals - 0.25 * song).max() < 1e-4)
    assert np.mean(found) > 0.8


def test_play_sends_a_stem_to_its_channels(
    virtual_audio: VirtualAudio, tone: Path, constant_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    recorder = Recorder(virtual_audio, tmp_path / "heard.raw", "rt_four")
    done = rtsep(
        *("play", tone, "--device", "rt_four", "--to", "vocals=3-4", "--seconds", 2, "--no-ui", "--json"),
        *("--model", constant_bundle(vocals=0.25, instrumental=0.75)),
    )
    heard = recorder.stop()
    assert (done.returncode, done.stderr) == (0, "rtsep: vocals to channels 3-4\n")
    assert json.loads(done.stdout)["notices"] == ["vocals to channels 3-4"]
    assert_vocals_are_a_quarter_on_3_and_4(heard, soundfile.read(tone, dtype="float32")[0].T)


def test_live_sends_a_stem_to_its_channels(
    virtual_audio: VirtualAudio, tone: Path, constant_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    model = constant_bundle(vocals=0.25, instrumental=0.75)
    command = ["live", "--input", "rt_mic", "--output", "rt_four", "--to", "vocals=3-4", "--model", str(model)]
    command += ["--seconds", "2", "--no-ui", "--json", "--record", str(tmp_path / "take")]
    feed = subprocess.Popen(
        ["sh", "-c", f"while :; do pacat -p -d rt_mic_feed --file-format=wav '{tone}' || exit; done"],
        start_new_session=True,
    )
    recorder = Recorder(virtual_audio, tmp_path / "heard.raw", "rt_four")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rtsep", *command], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
        )
    finally:
        os.killpg(feed.pid, 15)
        feed.wait()
        heard = recorder.stop()
    assert done.returncode == 0, done.stderr
    assert "vocals to channels 3-4" in json.loads(done.stdout)["notices"]
    mixture = soundfile.read(tmp_path / "take" / "mixture.wav", dtype="float32")[0].T
    assert_vocals_are_a_quarter_on_3_and_4(heard, mixture)
