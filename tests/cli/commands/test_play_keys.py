"""`rtsep play` in a terminal: keys, status line, and how it ends when somebody or something ends it."""

from __future__ import annotations

import json
import os
import signal
import termios
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from rtsep.cli.main import main
from tests.cli.running import Typist, rtsep
from tests.virtual_audio import VirtualAudio


def worker_of(player: psutil.Process) -> psutil.Process:
    """The separation worker, once it is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in player.children():
            if "rtsep.engine.worker" in " ".join(child.cmdline()):
                return child
        time.sleep(0.02)
    raise AssertionError("no worker")


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


def test_names_that_would_control_the_terminal_are_shown_and_leave_the_faders(
    typist: Callable[..., Typist], tone: Path, constant_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    bad = "\x1b]0;title\a\x1b[31m\n\udcff" + "日本語" * 20
    songs = [tmp_path / f"{bad}.wav", tmp_path / "b.wav"]
    for song in songs:
        song.symlink_to(tone)
    player = typist(*songs, "--device", "rt_out", "--model", constant_bundle(), columns=80)
    player.wait_for("\r\x1b[?7l▶ 0:01/0:06  [1/2] \\x1b]0")
    player.wait_for("本語.wav  >1 vocals ")
    player.wait_for("  2 instrumental ")
    player.type("q")
    assert player.wait() == 0


def test_a_quit_before_it_plays_ends_it_unechoed(
    typist: Callable[..., Typist], tone: Path, constant_bundle: Callable[..., Path]
) -> None:
    player = typist(tone, "--device", "rt_out", "--model", constant_bundle(), "--ahead", "--json")
    player.type("2?q")  # before the process is there
    assert player.wait() == 0
    assert player.process.stdout is not None
    assert player.process.stdout.read() == b""
    assert "SHIFT+1" in player.screen
    assert "▶" not in player.screen
    assert "Traceback" not in player.screen


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
    assert ("rtsep: played" in player.screen) == (code == 130)
    assert termios.tcgetattr(player.terminal) == before
    assert not worker.is_running()


def test_interrupted_it_still_tells_what_it_was_as_json(
    typist: Callable[..., Typist], tone: Path, constant_bundle: Callable[..., Path]
) -> None:
    player = typist(tone, "--device", "rt_out", "--model", constant_bundle(), "--json")
    player.wait_for("▶ 0:01")
    player.process.send_signal(signal.SIGINT)
    assert player.wait() == 130
    assert player.process.stdout is not None
    report = json.loads(player.process.stdout.read())
    assert 1.0 <= report["seconds_played"] < 6.0
    assert (report["ended"], report["notices"], report["messages"]) == (False, [], [])


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


def test_a_sound_server_that_dies_and_returns_is_reported_in_one_line_each_time(
    virtual_audio: VirtualAudio, typist: Callable[..., Typist], tone: Path, constant_bundle: Callable[..., Path]
) -> None:
    gone, back = 'output device "rt_out" stopped responding; reconnecting', 'sound resumed to "rt_out"'
    player = typist(tone, "--device", "rt_out", "--model", constant_bundle(), "--json")
    player.wait_for("▶ 0:01")
    for _ in range(2):
        try:
            virtual_audio.kill()
            player.wait_for(f"\r\x1b[Krtsep: {gone}\r\n")
        finally:
            virtual_audio.restart()
        player.wait_for(f"\r\x1b[Krtsep: {back}\r\n")
        player.wait_for("▶ 0:")
    assert player.wait() == 0
    assert "rtsep:" not in player.screen, "nothing more is reported"
    assert player.process.stdout is not None
    assert json.loads(player.process.stdout.read())["notices"] == [gone, back, gone, back]


def test_what_was_set_and_where_it_was_left_is_there_the_next_time(
    typist: Callable[..., Typist], tone: Path, constant_bundle: Callable[..., Path]
) -> None:
    options = ("--device", "rt_out", "--model", constant_bundle())
    first = typist(tone, *options)
    first.wait_for("▶ 0:01/0:06")
    first.type(" -q")
    assert first.wait() == 0
    assert "last time" not in first.screen
    listed = rtsep("play", "--recent", "--json")
    (record,) = json.loads(listed.stdout)
    assert record["file"] == str(tone)
    assert 1 <= record["position_s"] < 4
    second = typist("--resume", *options)
    second.wait_for("as last time: vocals -1 dB; --no-state plays without")
    second.wait_for(">1 vocals     -1 dB")
    assert "0:00/" not in second.screen
    second.type("q")
    assert second.wait() == 0
    script = rtsep("play", tone, *options, "--seconds", "0.2", "--json")
    assert json.loads(script.stdout)["notices"] == []


def test_nothing_to_play_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play"]) == 2
    said = "rtsep: FILES: name audio files or folders, or use --resume; see rtsep play --help\n"
    assert capsys.readouterr().err == said
    assert main(["play", "--resume"]) == 1
    assert capsys.readouterr().err == "rtsep: --resume: no song was played yet; name one\n"
    assert main(["play", "--recent"]) == 0
    assert capsys.readouterr().err == "rtsep: no song was played yet\n"
