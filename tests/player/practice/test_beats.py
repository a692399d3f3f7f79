"""Tempo by taps, and clicks on the beats through the compiled callback."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.errors import ArgumentError
from rtsep.player.practice.beats import Beats, Clicks, TapTempo
from tests.player.practice.practice_bench import RATE, PracticeBench


def test_four_taps_are_a_tempo_and_more_make_it_more_exact() -> None:
    taps, rng = TapTempo(), np.random.default_rng(0)
    beats = [taps.tap(10.0 + number * 0.5 + rng.uniform(-0.02, 0.02)) for number in range(24)]
    assert beats[:3] == [None] * 3
    assert beats[3] is not None and beats[3].tempo_bpm == pytest.approx(120, abs=8)
    assert beats[-1] is not None and beats[-1].tempo_bpm == pytest.approx(120, abs=0.5)
    assert beats[-1].nearest(15.3) == pytest.approx(15.5, abs=0.03)
    assert taps.tap(5.0) is None  # after a jump back a new count begins
    for number in range(1, 3):
        taps.tap(5.0 + number * 0.01)
    with pytest.raises(ArgumentError, match="tempo=6000"):
        taps.tap(5.03)


def test_clicks_do_not_depend_on_how_the_song_is_cut() -> None:
    clicks, beats = Clicks(), Beats(137.0, 0.123)
    whole = np.zeros((2, 100_000), np.float32)
    clicks.add(beats, 5000, whole)
    parts = np.zeros_like(whole)
    for begin in range(0, 100_000, 333):
        clicks.add(beats, 5000 + begin, parts[:, begin : begin + 333])
    np.testing.assert_array_equal(whole, parts)
    assert np.count_nonzero(np.diff(np.abs(whole[0]) > 0.2) & (np.abs(whole[0, 1:]) > 0.2)) >= 5


@pytest.mark.parametrize("speed", [1.0, 0.5])
def test_the_metronome_clicks_on_the_beats_at_any_speed(speed: float) -> None:
    bench = PracticeBench(np.zeros((2, 80_000)))
    bench.stage.click = lambda epoch, position, block: Clicks().add(Beats(120.0, 0.25), position, block)
    bench.stage.set(speed, 0.0)
    assert bench.stage.on
    heard = np.abs(bench.play()[0])
    for beat_s in (0.25, 0.75, 1.25):
        expected = round(beat_s * RATE / speed)
        around = heard[expected - 1000 : expected + 1000]
        assert int(np.argmax(around > 0.05)) - 1000 == pytest.approx(0, abs=0.01 * RATE)
        assert around.max() > 0.15
    bench.stage.click = None
    bench.stage.set(1.0, 0.0)
    assert not bench.stage.on
