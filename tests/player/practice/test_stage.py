"""Speed and key through the compiled callback: pitch, length, onsets, switching, jumps; and off, nothing changes."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.audio.callback.routing import Outlet
from rtsep.shared.status import Kind
from tests.player.practice.practice_bench import BLOCK, RATE, PracticeBench, frequency_hz, high_passed_dbfs, tone


@pytest.mark.parametrize(
    ("speed", "key"), [(1.0, 3.0), (1.0, -12.0), (0.5, 0.0), (0.8, 2.5), (2.0, 12.0), (0.25, -0.01)]
)
def test_the_key_is_exact_to_a_cent_and_the_length_to_a_block(speed: float, key: float) -> None:
    bench = PracticeBench(tone(440.0, 2.0))
    bench.stage.set(speed, key)
    heard = bench.play()
    middle = heard[0, round(0.2 * RATE) : -round(0.2 * RATE)]
    cents = 1200 * np.log2(frequency_hz(middle) / 440.0) - 100 * key
    assert abs(cents) < 1.0
    assert abs(heard.shape[1] - 2.0 * RATE / speed) <= BLOCK
    np.testing.assert_allclose(np.sqrt(np.mean(middle**2)), 0.5 / np.sqrt(2), rtol=0.01)
    assert bench.heads[-1].starved_samples == 0


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.8, 1.5, 2.0])
def test_onsets_are_where_they_must_be_and_as_sharp_as_before(speed: float) -> None:
    clicks = np.arange(5) * 11025 + 3000
    song = np.zeros((2, 60000))
    sound = 0.8 * np.exp(-np.arange(1500) / 300) * np.sin(2 * np.pi * 1500 * np.arange(1500) / RATE)
    for click in clicks:
        song[:, click : click + 1500] += sound
    bench = PracticeBench(song)
    bench.stage.set(speed, 0.0)
    heard = np.abs(bench.play()[0])
    for click in clicks:
        expected = round(click / speed)
        around = heard[max(expected - 2000, 0) : expected + 2000]
        onset = int(np.argmax(around > 0.3 * around.max())) + max(expected - 2000, 0)
        assert abs(onset - expected) <= 0.010 * RATE
        assert around.max() > 0.7
        before = heard[max(expected - 2000, 0) : expected - 441]
        assert before.size == 0 or before.max() < 0.03, "the attack is heard before it"


def test_switching_and_changing_is_without_a_click_a_gap_or_a_leap() -> None:
    song = tone(220.0, 4.0)
    bench = PracticeBench(song)
    heard = [bench.play(20)]
    for speed, key in ((0.5, 0.0), (1.0, 0.0), (1.0, 3.0), (1.3, 3.0), (1.0, 0.0), (0.8, -2.5), (1.0, 0.0)):
        bench.stage.set(speed, key)
        heard.append(bench.play(30))
        assert bench.heads[-1].practising == ((speed, key) != (1.0, 0.0))
    signal = np.concatenate(heard, axis=1)
    assert high_passed_dbfs(signal[0]) < -40.0
    level = np.sqrt(np.mean(signal[0].reshape(-1, BLOCK) ** 2, axis=1))
    assert level[1:].min() > 0.2, "a gap"
    steps = np.diff([head.position for head in bench.heads])
    assert steps.min() >= 0.5 * BLOCK - 1
    assert steps.max() <= 1.5 * BLOCK  # once more where the stage is left or entered
    assert {head.kind for head in bench.heads} == {Kind.WET}


def test_off_is_bit_for_bit_what_it_was_before_it_was_on() -> None:
    bench = PracticeBench(np.random.default_rng(0).uniform(-0.5, 0.5, (2, 100_000)))
    bench.play(10)
    bench.stage.set(0.9, 1.0)
    bench.play(40)
    assert bench.heads[-1].practising
    bench.stage.set(1.0, 0.0)
    bench.play(1)  # it fades
    for _ in range(10):
        position = bench.shared.callback.position
        np.testing.assert_array_equal(bench.play(1), bench.samples[:2, position : position + BLOCK])


def test_a_jump_lands_where_it_should_and_nothing_old_is_heard() -> None:
    song = np.concatenate([tone(300.0, 1.0), tone(700.0, 1.5)], axis=1)
    bench = PracticeBench(song)
    bench.stage.set(0.7, 0.0)
    bench.play(30)
    bench.shared.transport.post(60000, 1, 1000)
    heard = bench.play(40)
    assert bench.heads[30].position in range(60000, 60000 + BLOCK)
    assert bench.heads[-1].position == pytest.approx(60000 + 0.7 * 40 * BLOCK, abs=BLOCK)
    assert frequency_hz(heard[0, 2 * BLOCK :]) == pytest.approx(700.0, abs=0.5)
    early = np.abs(np.fft.rfft(heard[0, 100:4100] * np.hanning(4000)))
    assert early[20:35].max() < 0.02 * early.max(), "the place before the jump is heard"


def test_a_pause_is_silent_at_once_and_goes_on_at_the_same_place() -> None:
    bench = PracticeBench(tone(300.0, 2.0))
    bench.stage.set(0.5, 0.0)
    bench.play(20)
    bench.shared.transport.playing = False
    position = bench.heads[-1].position
    silence = bench.play(5)
    assert not silence[:, 64:].any()
    assert bench.heads[-1].position == position
    bench.shared.transport.playing = True
    bench.play(10)
    assert bench.heads[-1].position == pytest.approx(position + 5 * BLOCK, abs=2)


def test_faders_act_late_by_what_is_told_and_the_volume_at_once() -> None:
    bench = PracticeBench(tone(300.0, 3.0))
    bench.stage.set(0.8, 0.0)
    bench.play(40)
    bench.shared.transport.set_gain(0, 0.0)
    delay = bench.stage.delay
    heard = np.abs(bench.play(60)[0])
    last = int(np.flatnonzero(heard > 0.05)[-1])
    assert last == pytest.approx(delay, abs=2048)
    bench.shared.transport.set_gain(0, 1.0)
    bench.play(40)
    bench.shared.transport.master = 0.0
    bench.play(1)
    assert not bench.play(2).any()


def test_late_stems_are_waited_for_and_then_the_original_is_played() -> None:
    bench = PracticeBench(tone(300.0, 2.0))
    stem = bench.shared.stem
    stem.restart(1, 0, 0)
    stem.write(bench.samples[:, :30000])
    bench.stage.set(0.9, 0.0)
    bench.play(80)
    kinds = [head.kind for head in bench.heads]
    turn = kinds.index(Kind.DRY)
    assert set(kinds[:turn]) == {Kind.WET} and set(kinds[turn:]) == {Kind.DRY}
    assert bench.heads[turn].position == pytest.approx(30000, abs=2 * BLOCK)
    assert bench.heads[-1].late_blocks == len(kinds) - turn
    assert bench.heads[-1].starved_samples == 0


def test_stems_with_outlets_of_their_own_play_at_their_own_speed() -> None:
    bench = PracticeBench(tone(300.0, 1.0), routes={"drums": Outlet(2, 3)})
    bench.shared.transport.practice = True
    bench.stage.set(0.5, 0.0)
    bench.play(20)
    assert bench.heads[-1].position == 20 * BLOCK
