"""`rtsep play` as its user sees it: through virtual speakers, in a terminal, and without any device."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from rtsep.cli import play as command
from rtsep.cli import session
from rtsep.errors import RtsepError
from tests.virtual_audio import VirtualAudio

RATE = 44100
REPOSITORY = Path(__file__).parent.parent.parent


def rtsep(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "rtsep", *map(str, arguments)]
    settings = {"capture_output": True, "text": True, "timeout": 120, "cwd": REPOSITORY} | options
    done = subprocess.run(command, **settings)  # type: ignore[call-overload]
    # How long a start takes is not under test.
    noise = "rtsep: getting ready"
    done.stderr = "".join(line for line in done.stderr.splitlines(True) if not line.startswith(noise))
    return done


def worker_of(player: psutil.Process) -> psutil.Process:
    """The separation worker, once it is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in player.children():
            if "rtsep.engine.worker" in " ".join(child.cmdline()):
                return child
        time.sleep(0.02)
    raise AssertionError("no worker")


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of quiet noise."""
    path = tmp_path_factory.mktemp("song") / "noise.wav"
    noise = np.random.default_rng(0).uniform(-0.25, 0.25, (6 * RATE, 2)).astype(np.float32)
    soundfile.write(path, noise, RATE, subtype="FLOAT")
    return path


class Typist:
    """`rtsep play` in a pseudo-terminal of 200 columns; `screen` is everything it has written so far."""

    def __init__(self, *arguments: object) -> None:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 200))
        self.user = ours
        self.screen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rtsep", "play", *map(str, arguments)],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            cwd=REPOSITORY,
            start_new_session=True,
        )
        self.terminal = theirs

    def type(self, keys: str) -> None:
        os.write(self.user, keys.encode())

    def wait_for(self, text: str, limit_s: float = 30.0) -> None:
        """Until `text` has appeared since the last call."""
        deadline = time.monotonic() + limit_s
        while text not in self.screen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.screen[-600:]!r}"
            if select.select([self.user], [], [], 0.1)[0]:
                self.screen += os.read(self.user, 65536).decode(errors="replace")
        self.screen = self.screen.partition(text)[2]

    def wait(self) -> int:
        """Exit code; what is on the screen is read meanwhile."""
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "still runs"
            if select.select([self.user], [], [], 0.1)[0]:
                self.screen += os.read(self.user, 65536).decode(errors="replace")
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        os.close(self.user)
        os.close(self.terminal)


@pytest.fixture
def typist(virtual_audio: VirtualAudio) -> Iterator[Callable[..., Typist]]:
    made: list[Typist] = []

    def make(*arguments: object) -> Typist:
        made.append(Typist(*arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_song_is_played_and_reported_as_json(
    virtual_audio: VirtualAudio, tone: Path, constant_bundle: Callable[..., Path]
) -> None:
    model = constant_bundle(vocals=0.25, instrumental=0.75)
    done = rtsep(
        *("play", "--gain", "vocals=-inf", "--gain", "instrumental=-1", tone, "--device", "rt_out"),
        *("--model", model, "--chunk", 4, "--start", 4, "--no-ui", "--json"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["model"] == model.name
    assert report["device"] == "rt_out"
    assert report["seconds_played"] == pytest.approx(2.0, abs=0.01)
    assert (report["ended"], report["position_s"], report["length_s"]) == (True, 6.0, 6.0)
    assert (report["dry_s"], report["late_blocks"], report["engine"]["late_hops"]) == (0.0, 0, 0)
    assert report["engine"]["chunk"] == 4
    assert report["engine"]["compute_p50_ms"] > 0
    assert (report["bypass_s"], report["messages"]) == (0.0, [])
    parts = report["live_latency_samples"]
    assert report["device_latency_ms"] == pytest.approx(parts["device"] / 44.1)
    assert parts["algorithmic"] >= 4096 + 3 * 1024
    assert parts["total"] == parts["algorithmic"] + parts["margin"] + parts["device"]


def test_a_queue_with_its_keys(typist: Callable[..., Typist], tone: Path, constant_bundle: Callable[..., Path]) -> None:
    player = typist(tone, tone, "--device", "rt_out", "--model", constant_bundle(), "--json")
    player.wait_for("▶ 0:01/0:06  [1/2] noise.wav")
    player.type("l")
    player.wait_for("loop 0:0")
    player.type("c")
    player.wait_for("cue 0:0")
    player.type(">")
    player.wait_for("/0:06  [2/2] noise.wav  cue 0:0")  # the loop was the first song's
    player.type("q")
    assert player.wait() == 0
    assert player.process.stdout is not None
    report = json.loads(player.process.stdout.read())
    assert (report["track"], report["tracks"], report["loop_s"]) == (2, 2, None)
    assert 0 < report["cue_s"] < 6


def test_the_end_of_the_excerpt_and_the_summary(
    virtual_audio: VirtualAudio, tone: Path, constant_bundle: Callable[..., Path]
) -> None:
    done = rtsep("play", tone, "--device", "rt_out", "--model", constant_bundle(), "--seconds", 1, "--no-ui")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("rtsep: played 1.")
    assert len(done.stderr.splitlines()) == 1


def test_keys_and_status_line(typist: Callable[..., Typist], tone: Path, constant_bundle: Callable[..., Path]) -> None:
    player = typist(tone, "--device", "rt_out", "--model", constant_bundle(vocals=0.25, instrumental=0.75))
    before = termios.tcgetattr(player.terminal)
    player.wait_for("? for the keys")
    player.wait_for("▶ 0:00/0:06  >1 vocals ")
    player.type("1")
    player.wait_for("muted")
    player.type("\t-")
    player.wait_for(">2 instrumental")
    player.wait_for("-1 dB")
    player.type("b")
    player.wait_for("BYPASS")
    player.type(" ")
    player.wait_for("Ⅱ ")
    player.type("?")
    player.wait_for("quit")
    player.type("\x1b[C")
    player.wait_for("Ⅱ 0:05/0:06")
    player.type("q")
    assert player.wait() == 0
    assert "rtsep: played" in player.screen
    assert termios.tcgetattr(player.terminal) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_ends_orderly(
    typist: Callable[..., Typist], tone: Path, constant_bundle: Callable[..., Path], number: int, code: int
) -> None:
    player = typist(tone, "--device", "rt_out", "--model", constant_bundle())
    before = termios.tcgetattr(player.terminal)
    player.wait_for("▶ 0:01")
    worker = worker_of(psutil.Process(player.process.pid))
    player.process.send_signal(number)
    assert player.wait() == code
    assert "Traceback" not in player.screen
    assert termios.tcgetattr(player.terminal) == before
    assert not worker.is_running()


def test_killed_it_takes_its_worker_along(
    typist: Callable[..., Typist], tone: Path, constant_bundle: Callable[..., Path]
) -> None:
    before = _shared_memory()
    player = typist(tone, "--device", "rt_out", "--model", constant_bundle())
    player.wait_for("▶ 0:01")
    worker = worker_of(psutil.Process(player.process.pid))
    player.process.kill()
    player.process.wait()
    gone, _ = psutil.wait_procs([worker], timeout=1.0)
    assert gone or worker.status() == psutil.STATUS_ZOMBIE
    assert _shared_memory() <= before


def _shared_memory() -> set[str]:
    """Names of all there is, but for what the sound server shares with its clients."""
    folder = Path("/dev/shm")
    names = os.listdir(folder) if folder.is_dir() else []
    return {name for name in names if not name.startswith("pulse-shm")}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.wav"], 1, "missing.wav does not exist"),
        (["{tone}", "--model", "nothing-like-it"], 1, "nothing-like-it"),
        (["{tone}", "--device", "no-such-device"], 1, "no-such-device"),
        (["{tone}", "--gain", "banjo=3"], 2, "vocals, instrumental"),
        (["{tone}", "--gain", "vocals"], 2, "STEM=DB"),
        (["{tone}", "--chunk", "33"], 2, "1 to 32"),
        (["{tone}", "--compute", "tpu"], 2, "auto, cpu, cuda or cuda:N"),
        (["{tone}", "--compute", "cuda:99"], 1, "--compute cuda:99"),
        (["{tone}", "--start", "-1"], 2, "--start"),
        (["{tone}", "--start", "nan"], 2, "--start nan"),
        (["{tone}", "--start", "inf"], 2, "--start inf"),
        (["{tone}", "--start", "6.5"], 1, "noise.wav is only 6.00 s long"),
        (["{tone}", "--seconds", "nan"], 2, "--seconds nan"),
        (["{tone}", "--seconds", "0"], 2, "--seconds"),
        (["{tone}", "--sekunden", "3"], 2, "--sekunden"),
        ([], 2, "FILE"),
    ],
)
def test_wrong_arguments_end_in_one_line(
    virtual_audio: VirtualAudio,
    tone: Path,
    constant_bundle: Callable[..., Path],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    if "--model" not in arguments:
        arguments = [*arguments, "--model", str(constant_bundle())]
    done = rtsep("play", *(argument.format(tone=tone) for argument in arguments), "--no-ui")
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_without_a_device_stems_and_picture_are_written(
    silent_environment: dict[str, str], short_wav: Path, tmp_path: Path, constant_bundle: Callable[..., Path]
) -> None:
    environment = silent_environment | {"PYTHONPATH": str(REPOSITORY)}
    model = constant_bundle(vocals=0.25, instrumental=0.75)
    done = rtsep("play", short_wav, "--gain", "vocals=-inf", "--model", model, cwd=tmp_path, env=environment)
    assert done.returncode == 0
    assert done.stderr.splitlines()[0].startswith("rtsep: no sound device here")
    folder = tmp_path / "out" / "short"
    assert done.stdout.split() == [
        f"out/short/{name}" for name in ("vocals.wav", "instrumental.wav", "before-after.png")
    ]
    song, _ = soundfile.read(short_wav, dtype="float32")
    stem, rate = soundfile.read(folder / "instrumental.wav", dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(stem, 0.75 * song, atol=1e-6)
    assert (folder / "before-after.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("rate", [RATE, 48000])
def test_without_a_device_the_part_asked_for_is_written(
    silent_environment: dict[str, str], tmp_path: Path, constant_bundle: Callable[..., Path], rate: int
) -> None:
    song = np.random.default_rng(3).uniform(-0.5, 0.5, (3 * rate, 1)).astype(np.float32)
    soundfile.write(tmp_path / "song.wav", song, rate, subtype="FLOAT")
    environment = silent_environment | {"PYTHONPATH": str(REPOSITORY)}
    model = constant_bundle(vocals=0.25, instrumental=0.75)
    settings = {"cwd": tmp_path, "env": environment}
    done = rtsep("play", "song.wav", "--start", 1, "--seconds", 0.5, "--model", model, **settings)
    assert done.returncode == 0, done.stderr
    stems = [
        soundfile.read(tmp_path / "out" / "song" / f"{stem}.wav", dtype="float32", always_2d=True)[0]
        for stem in ("vocals", "instrumental")
    ]
    np.testing.assert_allclose(sum(stems), song[rate : rate + rate // 2], atol=1e-5)
    done = rtsep("play", "song.wav", "--start", 3, "--model", model, **settings)
    assert done.returncode == 1
    assert "--start 3: song.wav is only 3.00 s long" in done.stderr
    done = rtsep("play", "missing.wav", "--model", "no-such-model", **settings)
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == ["rtsep: missing.wav does not exist"]


def test_without_portaudio_stems_are_written_too(
    short_wav: Path,
    tmp_path: Path,
    constant_bundle: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def missing() -> list[object]:
        raise RtsepError("the PortAudio library is missing")

    monkeypatch.setattr("rtsep.audio.devices.list_devices", missing)
    monkeypatch.chdir(tmp_path)
    assert command.play((short_wav,), model=str(constant_bundle())) == 0
    assert capsys.readouterr().err.startswith("rtsep: the PortAudio library is missing: writing the stems")
    assert (tmp_path / "out" / "short" / "vocals.wav").exists()


def test_a_long_start_is_announced(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(session, "PATIENCE_S", 0.05)
    for quiet, inside_s, said in ((False, 0.3, 1), (True, 0.3, 0), (False, 0.0, 0)):
        with session.patience(quiet):
            time.sleep(inside_s)
        time.sleep(0.1)
        assert len(capsys.readouterr().err.splitlines()) == said


def test_a_song_that_breaks_off_is_told_once_and_is_a_failure(
    virtual_audio: VirtualAudio, tmp_path: Path, constant_bundle: Callable[..., Path]
) -> None:
    samples = np.full((2 * RATE, 2), 0.1, np.float32)
    samples[RATE, 0] = np.nan
    soundfile.write(tmp_path / "bad.wav", samples, RATE, subtype="FLOAT")
    done = rtsep("play", tmp_path / "bad.wav", "--device", "rt_out", "--model", constant_bundle(), "--no-ui", "--json")
    assert done.returncode == 1
    (message,) = json.loads(done.stdout)["messages"]
    assert "not a number" in message
    assert done.stderr == f"rtsep: {message}\n"


def test_without_any_device_a_device_asked_for_is_a_failure(
    silent_environment: dict[str, str], short_wav: Path, tmp_path: Path, constant_bundle: Callable[..., Path]
) -> None:
    environment = silent_environment | {"PYTHONPATH": str(REPOSITORY)}
    done = rtsep("play", short_wav, "--device", "rt_out", "--model", constant_bundle(), cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_sound_server_that_dies_and_returns_is_told_in_one_line_each(
    virtual_audio: VirtualAudio, typist: Callable[..., Typist], tone: Path, constant_bundle: Callable[..., Path]
) -> None:
    player = typist(tone, "--device", "rt_out", "--model", constant_bundle())
    try:
        player.wait_for("▶ 0:01")
        virtual_audio.kill()
        player.wait_for('\r\x1b[Krtsep: the sound device "rt_out" takes no more sound; looking for it\r\n')
    finally:
        virtual_audio.restart()
    player.wait_for('\r\x1b[Krtsep: sound again, on "rt_out"\r\n')
    assert player.wait() == 0
    lines = [line for line in player.screen.splitlines() if line and "▶" not in line]
    assert len(lines) == 1, "only the summary is left"
    assert "rtsep: played" in lines[0]


def test_a_device_of_another_rate_is_named_and_plays(only_48k, constant_bundle, short_wav: Path) -> None:
    arguments = ("--model", constant_bundle(), "--device", "system", "--no-ui", "--json")
    done = rtsep("play", short_wav, *arguments, env=only_48k)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "rtsep: system does not run at 44100 Hz; it gets the sound at 48000 Hz\n"
    told = json.loads(done.stdout)
    assert told["ended"]
    assert told["seconds_played"] == pytest.approx(2.0, abs=0.001)
