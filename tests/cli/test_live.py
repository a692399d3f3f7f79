"""`rtsep live`: from the microphone to the speakers, measured; and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.cli.main import main
from tests.conftest import REPOSITORY
from tests.live_path import FEED, MICROPHONE, SPEAKERS, LivePath, clicks, delays
from tests.virtual_audio import VirtualAudio, why_not

APART = 20011


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize(("block", "chunk"), [(441, 1), (512, 4)])
def test_a_click_arrives_within_a_block_of_the_latency_told(
    tmp_path: Path, constant_bundle: Callable[..., Path], block: int, chunk: int
) -> None:
    """One stem muted: what is heard is separated sound, half as loud, never the dry one."""
    model = constant_bundle(vocals=0.5, instrumental=0.5)
    command = ["live", "--input", MICROPHONE, "--output", SPEAKERS, "--model", str(model), "--gain", "vocals=-inf"]
    command += ["--block", str(block), "--chunk", str(chunk), "--seconds", "4", "--no-ui", "--json"]
    command += ["--record", str(tmp_path / "take")]
    with LivePath(tmp_path) as path:
        path.record()
        path.say(clicks(60, APART))
        done = subprocess.run(
            [sys.executable, "-m", "rtsep", *command],
            env=path.environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=120,
        )
        entered, left = path.recorded()
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    measured = delays(entered, left, 0.1, APART)
    total = report["latency_samples"]["total"]
    assert report["live"]["device_measured"]
    assert total == sum(report["latency_samples"][part] for part in ("algorithmic", "margin", "device"))
    assert len(measured) >= 5
    assert np.abs(left).max() < 0.3  # separated, not dry
    print(f"block {block}, chunk {chunk}: told {report['latency_samples']}, measured {measured}")
    if report["late_blocks"] or report["notices"]:
        pytest.skip(f"the machine was too busy for a measurement: {report['notices']}")
    assert abs(np.median(measured[-3:]) - total) <= block
    assert report["live"]["recording_gaps"] == 0
    mixture, vocals = (soundfile.read(tmp_path / "take" / f"{name}.wav")[0] for name in ("mixture", "vocals"))
    assert len(mixture) == len(vocals) > 3.5 * 44100
    np.testing.assert_allclose(vocals, 0.5 * mixture, atol=1e-5)


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_doctor_measures_the_devices_by_loop_back(tmp_path: Path) -> None:
    with LivePath(tmp_path) as path:

        def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "rtsep", "doctor", "--loopback", *arguments]
            return subprocess.run(
                command, env=path.environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=60
            )

        done = doctor(MICROPHONE, FEED, "--block", "1024", "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        print(found)
        assert found["duplex"] is False
        assert 0 < found["measured"] < 4 * 1024
        if found["spread"] == 0:  # else the machine was too busy, and the sound server's buffers moved
            assert abs(found["stamped"] - found["measured"]) <= 1024
        deaf = doctor(MICROPHONE, SPEAKERS)
        assert (deaf.returncode, len(deaf.stderr.splitlines())) == (1, 1)
        assert "did not hear" in deaf.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--input", "no-such-device"], 1, "no-such-device"),
        (["--input", "default", "--output", "default"], 1, "--allow-feedback"),
        (["--latency", "none"], 2, "standard, medium or low"),
        (["--chunk", "33"], 2, "1 to 32"),
        (["--block", "31"], 2, "32 to 4096"),
        (["--compute", "tpu"], 2, "auto, cpu, cuda or cuda:N"),
        (["--gain", "vocals"], 2, "STEM=DB"),
        (["--gain", "banjo=3"], 2, "vocals, instrumental"),
        (["--seconds", "nan"], 2, "--seconds nan"),
        (["--model", "nothing-like-it"], 1, "nothing-like-it"),
        (["song.flac"], 2, "song.flac"),
    ],
)
def test_wrong_arguments_end_in_one_line(
    virtual_audio: VirtualAudio,
    constant_bundle: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    for name, device in (("--input", "rt_mic"), ("--output", "rt_out")):
        if name not in arguments:
            arguments = [*arguments, name, device]
    if "--model" not in arguments:
        arguments = [*arguments, "--model", str(constant_bundle())]
    assert main(["live", *arguments, "--no-ui", "--seconds", "1"] if "--seconds" not in arguments else
                ["live", *arguments, "--no-ui"]) == code  # fmt: skip
    out, err = capsys.readouterr()
    assert words in err
    lines = [line for line in err.splitlines() if "the first two are taken" not in line]
    assert len(lines) == 1
    assert out == ""


def test_a_folder_that_has_a_recording_is_refused_before_anything_starts(
    virtual_audio: VirtualAudio,
    constant_bundle: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mixture.wav").touch()
    arguments = ["--input", "rt_mic", "--output", "rt_out", "--model", str(constant_bundle())]
    assert main(["live", *arguments, "--record", str(tmp_path), "--no-ui"]) == 1
    assert "mixture.wav is there already" in capsys.readouterr().err
