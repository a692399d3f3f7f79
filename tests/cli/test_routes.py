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

from tests.cli.commands import rtsep
from tests.conftest import REPOSITORY
from tests.listening import Recorder, place_of
from tests.virtual_audio import VirtualAudio

RATE = 44100


def assert_vocals_are_a_quarter_on_3_and_4(heard: np.ndarray, mixture: np.ndarray) -> None:
    """`heard` (4, n) of a model whose vocals are a quarter of `mixture` (2, n): all add up to it without a gap."""
    whole = heard[:2] + heard[2:]
    sounding = np.flatnonzero(np.abs(whole[0]) > 1e-4)
    begin, end = sounding[0] + RATE // 2, sounding[-1] - 10_000  # a live recording begins a moment after the sound
    assert end - begin > RATE
    place = place_of(whole[0, begin : begin + 5000], mixture[0])
    np.testing.assert_allclose(whole[:, begin:end], mixture[:, place : place + end - begin], atol=1e-4)
    # Where stems were late, the mixture was heard on 1 and 2 instead.
    separated = np.abs(heard[2:, begin:end] - 0.25 * whole[:, begin:end]).max(axis=0) < 1e-4
    assert separated.mean() > 0.9


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
