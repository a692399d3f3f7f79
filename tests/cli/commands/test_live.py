"""`rtsep live`: from the microphone to the speakers, measured; and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.devices.discovery import Device
from rtsep.cli.main import main
from rtsep.cli.session.live_session import knows_its_channels
from tests.conftest import REPOSITORY
from tests.live_path import FEED, MICROPHONE, SPEAKERS, LivePath, clicks, delays
from tests.virtual_audio import VirtualAudio, why_not

APART = 20011
TAKE = {"mixture.wav", "vocals.wav", "instrumental.wav"}


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize(("block", "chunk"), [(441, 1), (512, 4)])
def test_a_click_arrives_within_a_block_of_the_latency_reported(
    tmp_path: Path, constant_bundle: Callable[..., Path], block: int, chunk: int
) -> None:
    """One stem muted: what is heard is separated sound, half as loud, never the dry one.

    The first seconds of two streams rest on few time stamps, and a brief stall of the machine moves
    them: the best of three runs counts, of those in which nothing was late.
    """
    model = constant_bundle(vocals=0.5, instrumental=0.5)
    command = ["live", "--input", MICROPHONE, "--output", SPEAKERS, "--model", str(model), "--gain", "vocals=-inf"]
    command += ["--block", str(block), "--chunk", str(chunk), "--seconds", "4", "--no-ui", "--json"]
    off, busy = [], []
    for run in range(3):
        take = tmp_path / str(run)
        with LivePath(tmp_path) as path:
            path.record()
            path.say(clicks(60, APART))
            done = subprocess.run(
                [sys.executable, "-m", "rtsep", *command, "--record", str(take)],
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
        print(f"block {block}, chunk {chunk}: reported {report['latency_samples']}, measured {measured}")
        if report["late_blocks"] or report["notices"]:
            busy.append(report["notices"])
            continue
        assert report["live"]["recording_gaps"] == 0
        mixture, vocals = (soundfile.read(take / f"{name}.wav")[0] for name in ("mixture", "vocals"))
        assert len(mixture) == len(vocals) > 3.5 * 44100
        np.testing.assert_allclose(vocals, 0.5 * mixture, atol=1e-5)
        off.append(abs(np.median(measured[-3:]) - total))
        if off[-1] <= block:
            return
    if not off:
        pytest.skip(f"the machine was too busy for a measurement: {busy}")
    assert min(off) <= block


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_when_the_sound_server_dies_it_goes_on_with_the_next_one(
    tmp_path: Path, constant_bundle: Callable[..., Path]
) -> None:
    """Both devices are lost and found again; what is heard then is separated, and nothing pretends to be lost."""
    server = VirtualAudio()
    server.start()
    environment = os.environ | server.environment
    (tmp_path / "tone").write_bytes(np.full(2 * 60 * 44100, 0.5, "<f4").tobytes())
    raw = ["--raw", "--format=float32le", "--rate=44100", "--channels=2"]
    processes: list[subprocess.Popen[bytes]] = []

    def speak() -> None:
        processes.append(
            subprocess.Popen(["pacat", "-p", "-d", "rt_mic_feed", *raw, str(tmp_path / "tone")], env=environment)
        )

    model = str(constant_bundle(vocals=0.5, instrumental=0.5))
    command = ["live", "--input", "rt_mic", "--output", "rt_out", "--model", model, "--gain", "vocals=-inf"]
    try:
        speak()
        player = subprocess.Popen(
            [sys.executable, "-m", "rtsep", *command, "--no-ui", "--record", str(tmp_path / "take")],
            env=environment,
            cwd=REPOSITORY,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(player)  # type: ignore[arg-type]
        assert player.stderr is not None
        next(line for line in player.stderr if "rt_mic to rt_out" in line)
        time.sleep(0.5)
        server.kill()
        assert 'devices "rt_mic" and "rt_out" stopped responding; reconnecting' in next(player.stderr)
        server.restart()
        speak()
        began = time.monotonic()
        assert 'sound resumed from "rt_mic" to "rt_out"' in next(player.stderr)
        print(f"sound again after {time.monotonic() - began:.1f} s")
        time.sleep(1.0)
        with (tmp_path / "heard").open("wb") as file:
            processes.append(subprocess.Popen(["parec", "-d", "rt_out.monitor", *raw], stdout=file, env=environment))
            time.sleep(1.0)
        player.send_signal(signal.SIGINT)
        said = player.stderr.read()
        assert player.wait(timeout=20) == 130
    finally:
        for process in processes:
            process.kill()
            process.wait()
        server.stop()
    print(said)
    heard = np.fromfile(tmp_path / "heard", "<f4")[2000:]
    separated, silent = np.isclose(heard, 0.25, atol=1e-4), heard == 0.0
    assert (separated | silent).mean() > 0.99  # a machine that stands still leaves silence
    assert heard.max() < 0.26  # never the dry 0.5
    assert separated.sum() > 8000
    # A busy machine may raise the margin meanwhile.
    (summary,) = [line for line in said.splitlines() if "margin raised" not in line]
    assert summary.startswith("rtsep: played ")
    assert summary.endswith(" s with 0 gaps")
    mixture, vocals = (soundfile.read(tmp_path / "take" / f"{name}.wav")[0] for name in ("mixture", "vocals"))
    assert len(mixture) == len(vocals) > 44100


@contextmanager
def recording(tmp_path: Path, model: Path, sound: np.ndarray) -> Iterator[subprocess.Popen[str]]:
    """A `live` that has recorded two seconds of `sound` into the folder `take`."""
    command = ["live", "--input", MICROPHONE, "--output", SPEAKERS, "--model", str(model), "--no-ui", "--json"]
    with LivePath(tmp_path) as path:
        path.say(sound)
        player = subprocess.Popen(
            [sys.executable, "-m", "rtsep", *command, "--record", str(tmp_path / "take")],
            env=path.environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            deadline = time.monotonic() + 60
            while not any(file.stat().st_size > 2 * 44100 * 8 for file in tmp_path.glob("take/.*")):
                assert player.poll() is None, player.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield player
        finally:
            player.kill()
            player.wait()


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_control_c_ends_it_with_report_and_recording(tmp_path: Path, constant_bundle: Callable[..., Path]) -> None:
    """And what the input sends that is no number is counted."""
    sound = clicks(60, APART)
    sound[:, ::1000] = np.nan
    with recording(tmp_path, constant_bundle(), sound) as player:
        player.send_signal(signal.SIGINT)
        out, said = player.communicate(timeout=20)
    assert player.returncode == 130
    assert "channels: the first two are taken" not in said
    report = json.loads(out)
    assert report["seconds_played"] > 0
    assert report["live"]["bad_samples"] > 0
    assert [f"rtsep: {line}" for line in report["notices"]] == said.splitlines()
    assert {file.name for file in (tmp_path / "take").iterdir()} == TAKE
    assert np.isfinite(soundfile.read(tmp_path / "take" / "mixture.wav")[0]).all()


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_terminal_that_is_closed_leaves_the_recording(tmp_path: Path, constant_bundle: Callable[..., Path]) -> None:
    with recording(tmp_path, constant_bundle(), clicks(60, APART)) as player:
        player.send_signal(signal.SIGHUP)
        time.sleep(0.02)
        player.send_signal(signal.SIGHUP)  # a shell sends it, then the kernel once more
        out, said = player.communicate(timeout=20)
    assert (player.returncode, out) == (129, "")
    assert "Traceback" not in said
    assert {file.name for file in (tmp_path / "take").iterdir()} == TAKE
    assert soundfile.info(tmp_path / "take" / "vocals.wav").frames > 2 * 44100


def test_channels_are_reported_where_the_device_knows_them() -> None:
    known = (("ALSA", "Scarlett 18i20: USB Audio (hw:1,0)"), ("Core Audio", "Fireface"), ("ASIO", "default"))
    assert all(knows_its_channels(Device(0, name, api, 32, 2, 48000.0, False, False)) for api, name in known)
    for plug in ("pulse", "default", "sysdefault", "rt_mic"):
        assert not knows_its_channels(Device(0, plug, "ALSA", 32, 32, 44100.0, True, True))


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
        assert 0 < found["measured"] < 5 * 1024
        if found["spread"] == 0:  # else the machine was too busy, and the sound server's buffers moved
            assert abs(found["stamped"] - found["measured"]) <= 1024
        deaf = doctor(MICROPHONE, SPEAKERS)
        assert (deaf.returncode, len(deaf.stderr.splitlines())) == (1, 1)
        assert "did not capture" in deaf.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--input", "no-such-device"], 1, "no-such-device"),
        (["--input", "default", "--output", "default"], 1, "--allow-feedback"),
        (["--latency", "none"], 2, "standard, medium, low or milliseconds"),
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
    assert len(err.splitlines()) == 1
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
    assert "mixture.wav exists already" in capsys.readouterr().err
