"""The end of a run: one line, JSON and exit code, of `play` and `live` alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rtsep.audio.devices.discovery import Device
from rtsep.cli.session.playback_report import exit_code, live_report, play_report, summary
from rtsep.engine.live_engine import Engine
from rtsep.player.snapshot import LiveSnapshot, PlayerSnapshot
from tests.ui.test_status_line import status

DEVICE = Device(3, "card", "ALSA", 2, 2, 48000.0, True, True)


def live_status(bad_samples: int = 0, recorded_s: float = 0.0) -> PlayerSnapshot:
    return status(live=LiveSnapshot(0, bad_samples, 0, True, recorded_s, 2), file=None, length_s=None)


@pytest.mark.parametrize(
    ("interrupted", "messages", "code"),
    [(False, (), 0), (False, ("it broke",), 1), (True, (), 130), (True, ("it broke",), 130)],
)
def test_exit_codes(interrupted: bool, messages: tuple[str, ...], code: int) -> None:
    assert exit_code(status(messages=messages), interrupted) == code


def test_files_that_were_left_out_show_in_exit_code_and_report(constant_bundle: Callable[..., Path]) -> None:
    left_out = ["cover.jpg is not audio"]
    assert exit_code(status(), False, left_out) == 3
    assert exit_code(status(messages=("it broke",)), False, left_out) == 1
    with Engine(constant_bundle()) as engine:
        assert play_report(status(), engine, "card", 0.0, [], left_out)["left_out"] == left_out


def test_the_summary_is_one_line_with_what_there_was() -> None:
    assert summary(status()) == (
        "played 65.9 s separated, 0.0 s dry, 0.0 s bypassed; latency: faders 40 ms (live 93 + 10 + 40 ms); "
        "late: 2 hops, 1 skipped, 0 blocks; a hop takes 5.0 ms (99 %: 6.0 ms)"
    )
    plain = summary(live_status())
    assert plain.split("; ")[1:3] == ["latency 143 ms (93 + 10 + 40)", "late: 2 hops, 1 skipped, 0 blocks"]
    both = summary(live_status(bad_samples=7, recorded_s=3.25))
    assert both == plain + ("; 7 samples from the input were not finite and were muted; recorded 3.2 s with 2 gaps")


def test_both_reports_tell_the_same_of_what_they_share(constant_bundle: Callable[..., Path]) -> None:
    with Engine(constant_bundle()) as engine:
        played = play_report(status(messages=("b",)), engine, "card", 1.5, iter(["a", "a"]))
        heard = live_report(live_status(bad_samples=7), engine, DEVICE.name, DEVICE.name, iter(["a", "a"]))
    json.dumps([played, heard])
    shared = played.keys() & heard.keys()
    assert shared >= {"model", "compute", "compute_lost", "seconds_played", "wet_s", "engine", "notices", "messages"}
    assert {key for key in shared if played[key] != heard[key]} == {"messages"}
    assert (played["notices"], played["messages"]) == (["a", "a"], ["b"])
    assert (played["start_s"], played["length_s"], played["device"]) == (1.5, 200.0, "card")
    assert (heard["live"]["bad_samples"], heard["input"]) == (7, "card")
    assert heard["latency_ms"] == pytest.approx(heard["latency_samples"]["total"] / 44.1)
