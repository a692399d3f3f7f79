"""The status line as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtsep.engine.latency import Latency
from rtsep.engine.live_engine import EngineStats
from rtsep.player.faders import Fader
from rtsep.player.meters import Levels
from rtsep.player.practice.singing import Sung
from rtsep.ui.status_line import clock, latency_text, level_bar, status_line
from rtsep.ui.text import cut, printable
from tests.snapshots import snapshot as status


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
    line = status_line(status(), selected=1, columns=200)
    assert line.startswith("▶ 1:05/3:20  1 vocals ")
    assert ">2 drums     -3 dB" in line
    assert "faders 40 ms (live 93 + 10 + 40 ms)" in line
    assert latency_text(Latency(4096, 441, 1764)) == "faders 40 ms (live 93 + 10 + 40 ms)"
    assert "late 3 hops 0 blocks" in line
    assert "\n" not in line


def test_queue_loop_and_cue_show_where_there_are_any() -> None:
    line = status_line(status(tracks=3, track=1, loop_s=(61.0, None), cue_s=5.0), selected=0, columns=200)
    assert line.startswith("▶ 1:05/3:20  [2/3] song.flac  loop 1:01-  cue 0:05  >1 vocals")
    assert "loop 1:01-1:09 " in status_line(status(loop_s=(61.0, 69.9)), selected=0, columns=200)
    assert not any(word in status_line(status(), selected=0, columns=200) for word in ("song.flac", "loop", "cue"))


def test_speed_key_and_the_line_that_is_sung_show_where_there_is_room() -> None:
    sung = status(speed=0.8, key=-2.0, sung=Sung(3, 0, "We all sing the same old song"))
    line = status_line(sung, selected=0, columns=140)
    assert "  speed 0.80  key -2  " in line
    assert "  We all sing the same old song  late 3 hops" in line
    assert "We all" not in status_line(sung, selected=0, columns=60)
    assert latency_text(Latency(4096, 441, 1764, 4410)) == "faders 140 ms (live 93 + 10 + 40 ms)"


def test_what_is_unusual_shows() -> None:
    faders = (Fader(muted=True), Fader(gain_db=float("-inf"), solo=True))
    engine = EngineStats("running", 4, 10, 0, 0, 2, 5.0, 6.0, "mine")
    line = status_line(
        status(
            faders=faders, playing=False, length_s=None, bypass=True, volume_db=-2.0, clipped_samples=7, engine=engine
        ),
        selected=0,
        columns=200,
    )
    for part in ("Ⅱ 1:05/?", "muted", "solo muted", "BYPASS", "volume -2 dB", "limited 7", "restarts 2"):
        assert part in line
    assert "restarts" not in status_line(status(), selected=0, columns=200)


NAMES = (
    "The Some Orchestra - Symphony No. 9 in D minor, Op. 125 - II. Molto vivace (Live, 1962, Remastered).flac",
    "日本語の歌" * 12 + ".flac",
    "a\x1b]0;title\a\x1b[31m\nsecond line" * 3,
    "👨\u200d👩\u200d👧" * 50,
    "\udce9" * 60,
    "a.wav",
)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("stems", [2, 4, 6])
def test_every_fader_is_seen_on_80_columns_whatever_the_name(name: str, stems: int) -> None:
    names = ("vocals", "drums", "bass", "other", "guitar", "piano")[:stems]
    faders = (Fader(muted=True), *(Fader(gain_db=-3.0) for _ in range(stems - 2)), Fader(solo=True))
    levels = (Levels(0.0, 0.0),) * stems
    now = status(file=Path(name), track=1, tracks=12, stems=names, faders=faders, levels=levels, loop_s=(61.0, 69.0))
    line = status_line(now, selected=stems - 1, columns=80)
    seen = cut(line, 79)
    assert printable(line) == line
    places = [seen.index(f"{number} {stem[:3]}") for number, stem in enumerate(names, start=1)]
    for place, following, fader in zip(places, [*places[1:], None], faders, strict=True):
        state = seen[place:following]
        assert ("muted" in state or " M" in state) == fader.muted
        assert ("solo" in state or "S" in state) == fader.solo
        assert ("-3" in state) == (fader.gain_db < 0)
    if stems < 4:
        assert "[2/12] " in seen


def test_four_stems_and_a_queue_are_whole_on_80_columns() -> None:
    faders = (Fader(muted=True), Fader(), Fader(), Fader(muted=True))
    now = status(
        position_s=1.0, length_s=24.0, file=Path(NAMES[0]), tracks=2, stems=("vocals", "drums", "bass", "other")
    )
    line = status_line(replace(now, faders=faders, levels=(Levels(0.0, 0.0),) * 4), selected=0, columns=80)
    seen = cut(line, 79)
    assert seen.startswith("▶ 0:01/0:24  [1/2] ")
    assert ">1 vocals muted  2 drums ███  3 bass ███  4 other muted" in seen


def test_a_wide_terminal_shows_the_whole_name_and_the_counters() -> None:
    line = status_line(status(tracks=2, file=Path(NAMES[0])), selected=0, columns=250)
    assert NAMES[0] in line
    assert "live 93 + 10 + 40" in cut(line, 249)
