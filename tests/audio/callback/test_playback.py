"""The compiled callback against a second description of it in NumPy, and its single promises."""

import ctypes

import numpy as np
import pytest

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.output_stage import CEILING, KNEE, limit
from rtsep.audio.callback.playback import stream_callback
from rtsep.shared.status import Kind
from rtsep.shared.stream_clock import position_at
from tests.audio.callback.callback_reference import Reference, Resampler
from tests.audio.callback.callback_script import N, fill, make_deck, play, playing_deck, random_script, step


@pytest.mark.parametrize(
    ("stems", "batches", "blocks", "rate"),
    [(2, 6, 50_000, 44100), (1, 1, 50_000, 44100), (8, 2, 25_000, 44100), (2, 1, 20_000, 48000)],
)
def test_random_blocks_equal_the_reference(stems, batches, blocks, rate) -> None:
    rng = np.random.default_rng(stems)
    shared = make_deck(stems)
    fill(shared, rng, 0.7 if stems < 3 else 0.2)
    control = CallbackControl(shared, samplerate=rate)
    reference = Reference(shared.mixture.data, shared.stem.data, None if rate == 44100 else Resampler(rate))
    gain_sets = rng.uniform(0, 1.5, (40, stems + 1)).astype(np.float32)
    gain_sets[rng.random(gain_sets.shape) < 0.3] = 1.0
    gain_sets[rng.random(gain_sets.shape) < 0.1] = 0.0
    kinds = np.zeros(5, np.int64)
    for batch in range(batches):
        script = random_script(rng, blocks, len(gain_sets), batch * blocks)
        if rate != 44100:
            script[:, N] = np.maximum(script[:, N], 2)  # for a single frame there may be nothing to mix
        out, log = play(control, script, gain_sets)
        expected, expected_log = reference.run(script, gain_sets)
        np.testing.assert_array_equal(log, expected_log)
        # The corrector looks its taps up in a table and interpolates: 90 dB below noise of this level.
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6 if rate == 44100 else 1e-4)
        kinds += np.bincount(log[:, 2], minlength=5)
    head = shared.callback.read()._asdict()
    assert {name: head[name] for name in reference.counters} == reference.counters
    assert (kinds > blocks * batches / 500).all(), f"the script does not visit every kind: {kinds}"


def test_a_fader_acts_within_one_block_and_never_jumps() -> None:
    shared, control = playing_deck()
    step(shared, control, 512)
    shared.transport.set_gain(0, 0.0)
    heard = step(shared, control, 256)
    assert np.abs(np.diff(heard)).max() < 0.1 / 256 * 1.01
    np.testing.assert_allclose(heard[:, -1], 0.1, atol=1e-7)
    np.testing.assert_array_equal(step(shared, control, 64), np.float32(0.1))


@pytest.mark.parametrize("n", [1, 7, 64, 100, 1024])
def test_nothing_clicks_when_stems_end_and_come_back(n) -> None:
    shared, control = playing_deck()
    shared.stem.restart(1, 0, 0)
    shared.stem.write(np.full((4, 2000), 0.1, np.float32))
    shared.transport.set_gain(1, 0.0)  # wet 0.1, dry 0.2: a difference that would be seen
    heard = [step(shared, control, n) for _ in range(4000 // n)]
    assert shared.callback.read().kind == Kind.DRY
    shared.stem.write(np.full((4, 10000), 0.1, np.float32))
    heard += [step(shared, control, n) for _ in range(4000 // n)]
    assert shared.callback.read().kind == Kind.WET
    sound = np.concatenate(heard, 1)
    assert np.abs(np.diff(sound)).max() <= 0.1 / 64
    assert {0.1, 0.2} <= {round(float(value), 6) for value in np.unique(sound)}


def test_everything_muted_stays_silent_when_stems_are_late() -> None:
    shared, control = playing_deck()
    shared.stem.restart(1, 0, 0)
    for stem in range(2):
        shared.transport.set_gain(stem, 0.0)
    assert not step(shared, control, 1000).any()
    assert shared.callback.read().kind == Kind.DRY
    assert shared.callback.read().late_blocks == 1


def test_patience_waits_in_silence_and_then_plays_dry() -> None:
    shared, control = playing_deck()
    shared.stem.restart(1, 0, 0)
    shared.transport.post(500, 1, 300)
    for _ in range(3):
        assert not step(shared, control, 100).any()
        assert shared.callback.read().kind == Kind.WAITING
        assert shared.callback.position == 500
    step(shared, control, 100)
    assert shared.callback.read().kind == Kind.DRY
    assert shared.callback.position == 600
    assert shared.callback.read().starved_samples == 0


def test_pause_stands_still_and_resumes_at_the_same_sample() -> None:
    shared, control = playing_deck()
    step(shared, control, 333)
    shared.transport.playing = False
    faded = step(shared, control, 128)
    assert faded[0, 0] > 0.19
    assert not faded[:, 64:].any()
    assert shared.callback.position == 333
    shared.transport.playing = True
    step(shared, control, 128)
    assert shared.callback.position == 461


def test_the_end_stops_exactly_at_eof_even_after_a_seek_beyond_it() -> None:
    shared, control = playing_deck()
    shared.mixture.finish(1000)
    heard = step(shared, control, 1024)
    np.testing.assert_array_equal(heard[:, 64:1000], np.float32(0.2))
    assert not heard[:, 1000:].any()
    assert shared.callback.read()[:5] == (1000, 1, 2, Kind.WET, True)
    assert not step(shared, control, 64).any()
    shared.transport.post(5000, 1, 0)
    step(shared, control, 64)
    head = shared.callback.read()
    assert (head.position, head.ended, head.starved_samples) == (1000, True, 0)
    shared.transport.post(900, 1, 0)
    step(shared, control, 64)
    assert not shared.callback.read().ended


def test_bypass_is_the_mixture_whatever_the_faders_say() -> None:
    shared, control = playing_deck()
    shared.transport.set_gain(0, 0.0)
    shared.transport.bypass = True
    step(shared, control, 64)
    np.testing.assert_array_equal(step(shared, control, 64), np.float32(0.2))
    shared.transport.master = 0.5
    step(shared, control, 256)
    np.testing.assert_array_equal(step(shared, control, 64), np.float32(0.1))


def test_mono_is_the_mean_and_further_channels_are_silent() -> None:
    for channels in (1, 2, 3, 6):
        shared, _ = playing_deck()
        shared.stem.data[1::2] = 0.2
        control = CallbackControl(shared, channels)
        step(shared, control, 64, channels)
        heard = step(shared, control, 64, channels)
        expected = [0.3] if channels == 1 else [0.2, 0.4] + [0.0] * (channels - 2)
        np.testing.assert_allclose(heard, np.tile(np.float32(expected), (64, 1)).T, atol=1e-7)


def test_blocks_beyond_the_largest_part_are_made_in_parts() -> None:
    shared, control = playing_deck()
    heard = step(shared, control, 20000)
    np.testing.assert_array_equal(heard[:, 64:], np.float32(0.2))
    assert shared.callback.position == 20000


@pytest.mark.parametrize("rate", [16000, 48000, 192000])
def test_the_blocks_of_a_device_with_another_rate_change_nothing(rate) -> None:
    rng = np.random.default_rng(rate)
    heard = []
    for sizes in (np.full(10000, 1), rng.integers(1, 40, 480), np.array([10000])):
        shared, _ = playing_deck()
        shared.stem.data[:] = np.random.default_rng(1).uniform(-0.3, 0.3, shared.stem.data.shape)
        control = CallbackControl(shared, samplerate=rate)
        heard.append(np.concatenate([step(shared, control, n) for n in sizes], axis=1)[:, :10000])
        assert abs(shared.callback.read().frames - sizes.sum() * 44100 / rate) < 3
    np.testing.assert_array_equal(heard[0], heard[2])
    np.testing.assert_array_equal(heard[1], heard[2][:, : heard[1].shape[1]])


def test_a_device_with_another_rate_hears_the_same_later() -> None:
    shared, _ = playing_deck()
    tone = np.sin(2 * np.pi * 997 * np.arange(30000) / 44100).astype(np.float32)
    shared.stem.data[:, :30000] = 0.25 * tone
    control = CallbackControl(shared, samplerate=48000)
    heard = np.concatenate([step(shared, control, 441) for _ in range(40)], axis=1)[0]
    time_s = np.arange(len(heard)) / 48000 - control.delay_s
    error = heard - 0.5 * np.sin(2 * np.pi * 997 * time_s)
    assert 10 * np.log10(np.mean(heard[200:] ** 2) / np.mean(error[200:] ** 2)) > 75


def test_the_device_tells_when_it_asked() -> None:
    _, control = playing_deck()
    function = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p
    )(stream_callback.address)
    out = np.zeros((441, 2), np.float32)
    assert np.isnan(position_at(control.clock, 0, 44100.0))
    for block in range(3):
        times = np.array([0.0, 5.0 + block / 100, 5.25 + block / 100])
        function(None, out.ctypes.data, 441, times.ctypes.data, 0, control.fields.ctypes.data)
        assert position_at(control.clock, 5_250_000_000, 44100.0) == pytest.approx(0, abs=0.01)
    assert position_at(control.clock, 6_250_000_000, 44100.0) == pytest.approx(44100, abs=0.01)


def test_a_new_control_continues_and_makes_no_jump_twice() -> None:
    shared, control = playing_deck()
    step(shared, control, 100)
    again = CallbackControl(shared)
    step(shared, again, 100)
    assert shared.callback.position == 200
    shared.transport.post(700, 1, 0)
    step(shared, again, 100)
    assert shared.callback.position == 800


@pytest.mark.parametrize("value", [0.0, 0.5, 0.89, -0.89, float(KNEE)])
def test_the_limiter_is_transparent_below_its_knee(value) -> None:
    assert limit(np.float32(value)) == np.float32(value)


def test_the_limiter_rises_smoothly_to_its_ceiling_and_kills_nan() -> None:
    values = np.linspace(0.85, 4, 4000).astype(np.float32)
    limited = np.array([limit(value) for value in values], np.float32)
    assert (np.diff(limited) >= 0).all()
    assert np.abs(np.diff(limited)).max() <= np.diff(values).max() * 1.01
    assert limited.max() <= CEILING
    assert limit(np.float32(np.inf)) == CEILING
    assert limit(np.float32(-np.inf)) == -CEILING
    assert limit(np.float32(np.nan)) == 0.0


def test_samples_above_the_ceiling_are_counted_and_not_a_number_is_silence() -> None:
    shared, control = playing_deck(level=1.0)
    shared.stem.data[0, 200] = np.nan
    heard = step(shared, control, 264)
    assert np.isfinite(heard).all()
    assert heard[0, 200] == 0.0
    assert heard.max() <= CEILING
    assert 2 * 200 - 1 <= shared.callback.read().clipped_samples <= 2 * 264 - 1


def test_the_c_function_is_the_same_as_the_kernel() -> None:
    shared, control = playing_deck()
    other_deck, other = playing_deck()
    for n in (1, 63, 1000):
        out = np.full((n, 2), np.nan, np.float32)
        function = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong,
            ctypes.c_void_p,
        )(stream_callback.address)  # fmt: skip
        assert function(None, out.ctypes.data, n, None, 0, control.fields.ctypes.data) == 0
        np.testing.assert_array_equal(out.T, step(other_deck, other, n))
    assert shared.callback.read() == other_deck.callback.read()
