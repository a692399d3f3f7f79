"""The status line as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtsep.engine.latency import Latency
from rtsep.engine.live_engine import EngineStats
from rtsep.player.faders import Fader
from rtsep.player.snapshot import PlayerStatus
from rtsep.shared.status import Kind
from rtsep.ui.status_line import clock, latency_text, level_bar, status_line


def status(**changes: object) -> PlayerStatus:
    fields: dict = {
        "file": Path("song.flac"),
        "track": 0,
        "tracks": 1,
        "loop_s": None,
        "cue_s": None,
        "position_s": 65.9,
        "length_s": 200.0,
        "playing": True,
        "ended": False,
        "kind": Kind.WET,
        "bypass": False,
        "volume_db": 0.0,
        "stems": ("vocals", "drums"),
        "faders": (Fader(), Fader(gain_db=-3.0)),
        "levels_db": (-12.0, -100.0),
        "latency": Latency(4096, 441, 1764),
        "late_blocks": 0,
        "dry_s": 0.0,
        "wet_s": 65.9,
        "starved_s": 0.0,
        "clipped_samples": 0,
        "frames": 1,
        "engine": EngineStats("running", 4, 10, 2, 1, 0, 5.0, 6.0),
        "bypass_s": 0.0,
        "messages": (),
    }
    return PlayerStatus(**(fields | changes))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.99, "0:59"), (65, "1:05"), (3700, "1:01:40"), (-1, "0:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("level_db", "bar"),
    [(-100.0, "   "), (-54.0, "   "), (0.0, "███"), (6.0, "███"), (-36.0, "█  "), (-18.0, "██ "), (-27.0, "█▄ ")],
)
def test_bar(level_db: float, bar: str) -> None:
    assert level_bar(level_db) == bar


def test_everything_is_on_the_line() -> None:
    line = status_line(status(), selected=1)
    assert line.startswith("▶ 1:05/3:20  1 vocals ")
    assert ">2 drums     -3 dB" in line
    assert "faders 40 ms (live 93 + 10 + 40 ms)" in line
    assert latency_text(Latency(4096, 441, 1764)) == "faders 40 ms (live 93 + 10 + 40 ms)"
    assert "late 3 hops 0 blocks" in line
    assert "\n" not in line


def test_queue_loop_and_cue_show_where_there_are_any() -> None:
    line = status_line(status(tracks=3, track=1, loop_s=(61.0, None), cue_s=5.0), selected=0)
    assert line.startswith("▶ 1:05/3:20  [2/3] song.flac  loop 1:01-  cue 0:05  >1 vocals")
    assert "loop 1:01-1:09 " in status_line(status(loop_s=(61.0, 69.9)), selected=0)
    assert not any(word in status_line(status(), selected=0) for word in ("song.flac", "loop", "cue"))


def test_what_is_unusual_shows() -> None:
    faders = (Fader(muted=True), Fader(gain_db=float("-inf"), solo=True))
    engine = EngineStats("running", 4, 10, 0, 0, 2, 5.0, 6.0)
    line = status_line(
        status(
            faders=faders, playing=False, length_s=None, bypass=True, volume_db=-2.0, clipped_samples=7, engine=engine
        ),
        selected=0,
    )
    for part in ("Ⅱ 1:05/?", "muted", "solo muted", "BYPASS", "volume -2 dB", "limited 7", "restarts 2"):
        assert part in line
    assert "restarts" not in status_line(status(), selected=0)
