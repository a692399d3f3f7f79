"""Stems on channels of their own: what is heard on every outlet, in its own fades, and how all add up."""

import numpy as np
import pytest

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.output_stage import CEILING
from rtsep.audio.callback.routing import Outlet
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind
from tests.audio.callback.callback_reference import Reference, Resampler, limited
from tests.audio.callback.callback_script import N, fill, make_deck, play, playing_deck, random_script, step

SIDE = {"stem1": Outlet(2, 3)}


def routed_deck(routes: dict[str, Outlet] = SIDE, channels: int = 4) -> tuple[SharedState, CallbackControl]:
    """As `playing_deck`, but stem0 is 0.1, 0.2 (left, right), stem1 0.03, 0.05 and the mixture their sum."""
    shared, _ = playing_deck()
    shared.stem.data[:] = np.array([[0.1], [0.2], [0.03], [0.05]], np.float32)
    shared.mixture.data[:] = np.array([[0.13], [0.25]], np.float32)
    return shared, CallbackControl(shared, channels, routes=routes)


def begin(shared: SharedState) -> None:
    """Play from position 0 what lies in the rings."""
    for ring in (shared.mixture, shared.stem):
        ring.restart(1, 0, 0)
        ring.write(ring.data[:, :50_000].copy())
    shared.transport.playing = True
    shared.transport.post(0, 1, 0)


def constant(*levels: float) -> np.ndarray:
    return np.array(levels, np.float32)[:, None]


@pytest.mark.parametrize("rate", [44100, 48000])
def test_random_blocks_equal_the_reference_on_every_outlet(rate) -> None:
    rng = np.random.default_rng(rate)
    shared = make_deck(4)
    fill(shared, rng, 0.6)  # loud enough for the limiter to count on every outlet
    routes = {"stem1": Outlet(5, 6), "stem2": Outlet(3, 3), "stem3": Outlet(5, 6)}
    control = CallbackControl(shared, 8, rate, routes)
    references = [
        Reference(shared.mixture.data, shared.stem.data, None if rate == 44100 else Resampler(rate), wet, wet == (0,))
        for wet in ((0,), (1, 3), (2,))
    ]
    gain_sets = rng.uniform(0, 1.5, (40, 5)).astype(np.float32)
    for batch in range(2):
        script = random_script(rng, 15_000, len(gain_sets), batch * 15_000)
        script[:, N] = np.maximum(script[:, N], 2)  # at 48 kHz there may be nothing to mix for a single frame
        out, log = play(control, script, gain_sets, 8)
        (main, main_log), (pair, _), (single, _) = (reference.run(script, gain_sets) for reference in references)
        np.testing.assert_array_equal(log, main_log)
        silent = np.zeros(len(out), np.float32)
        mean = single.mean(axis=1)
        expected = np.stack([*main.T, silent, mean, silent, *pair.T, silent], axis=1)
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6 if rate == 44100 else 1e-4)
    clipped = [reference.counters["clipped_samples"] for reference in references]
    assert min(clipped) > 0
    if rate == 44100:  # at the other, a sample at the very ceiling may fall on either side
        assert shared.callback.read().clipped_samples == sum(clipped)


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("sizes", [[1, 7, 63, 64, 65, 256], [8193, 3]])
def test_all_outlets_together_are_the_plain_mix(rate, sizes) -> None:
    heard = []
    for routes, channels in (({}, 2), ({"stem0": Outlet(4, 5), "stem2": Outlet(2, 3)}, 6)):
        shared = make_deck(3)
        fill(shared, np.random.default_rng(1), 0.2)
        begin(shared)
        shared.transport.set_gain(2, 0.5)
        control = CallbackControl(shared, channels, rate, routes)
        sound = np.concatenate([step(shared, control, n, channels) for n in sizes * 5], axis=1)
        heard.append(sound.reshape(channels // 2, 2, -1).sum(axis=0))
    np.testing.assert_allclose(heard[1], heard[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", [1, 7, 64, 100, 1024])
@pytest.mark.parametrize("change", ["dry", "bypass", "pause", "jump"])
def test_nothing_clicks_on_any_channel(change, n) -> None:
    shared, control = routed_deck()
    heard = [step(shared, control, n, 4) for _ in range(2 + 200 // n)]
    for on in (True, False):
        if change == "dry":
            shared.stem.restart(1 if not on else 9, 0, 0)
            shared.stem.write(np.repeat(shared.stem.data[:, :1], 30_000, axis=1))
        elif change == "bypass":
            shared.transport.bypass = on
        elif change == "pause":
            shared.transport.playing = not on
        else:
            shared.transport.post(10_000, 1, 0)
        heard += [step(shared, control, n, 4) for _ in range(2 + 200 // n)]
        there = [0.13, 0.25, 0.0, 0.0] if change in ("dry", "bypass") else [0.0] * 4
        wet = [0.1, 0.2, 0.03, 0.05]
        np.testing.assert_allclose(heard[-1][:, -1], wet if change == "jump" or not on else there, atol=1e-7)
    sound = np.concatenate(heard, axis=1)
    largest = np.array([0.2, 0.25, 0.03, 0.05]) / 64  # the whole level within 64 samples
    assert (np.abs(np.diff(sound)).max(axis=1) <= largest).all()
    assert shared.callback.read().kind == Kind.WET


def test_a_fader_moves_its_own_outlet_and_the_master_all() -> None:
    shared, control = routed_deck()
    step(shared, control, 64, 4)
    np.testing.assert_array_equal(step(shared, control, 65, 4), constant(0.1, 0.2, 0.03, 0.05).repeat(65, 1))
    shared.transport.set_gain(1, 2.0)
    step(shared, control, 256, 4)
    np.testing.assert_allclose(step(shared, control, 7, 4), constant(0.1, 0.2, 0.06, 0.1).repeat(7, 1), atol=1e-7)
    shared.transport.master = 0.5
    step(shared, control, 256, 4)
    np.testing.assert_allclose(step(shared, control, 7, 4), constant(0.05, 0.1, 0.03, 0.05).repeat(7, 1), atol=1e-7)


def test_a_single_channel_gets_the_mean_and_channels_between_are_silent() -> None:
    shared, control = routed_deck({"stem1": Outlet(4, 4)}, 6)
    step(shared, control, 64, 6)
    np.testing.assert_allclose(step(shared, control, 9, 6), constant(0.1, 0.2, 0, 0, 0.04, 0).repeat(9, 1), atol=1e-7)


def test_every_stem_may_be_sent_away_and_one_may_be_sent_to_the_main_mix() -> None:
    names = [f"stem{i}" for i in range(8)]
    shared = make_deck(8)
    shared.stem.data[:] = np.arange(1, 17, dtype=np.float32)[:, None] / 100
    begin(shared)
    routes = {name: Outlet(2 * i + 2, 2 * i + 3) for i, name in enumerate(names)}
    away = CallbackControl(shared, 18, routes=routes)
    step(shared, away, 64, 18)
    expected = np.concatenate([np.zeros(2), np.arange(1, 17) / 100]).astype(np.float32)
    np.testing.assert_array_equal(step(shared, away, 5, 18), expected[:, None].repeat(5, 1))
    home = CallbackControl(shared, 18, routes=routes | {"stem3": Outlet(0, 1)})
    step(shared, home, 64, 18)
    np.testing.assert_array_equal(step(shared, home, 1, 18)[[0, 1, 8, 9], 0], np.float32([0.07, 0.08, 0, 0]))


def test_the_limiter_guards_and_counts_every_outlet_by_itself() -> None:
    shared, control = routed_deck()
    shared.stem.data[2] = 1.5
    shared.stem.data[3] = np.nan
    heard = step(shared, control, 264, 4)[:, 64:]
    np.testing.assert_array_equal(heard[:2], constant(0.1, 0.2).repeat(200, 1))
    np.testing.assert_array_equal(heard[2], limited(np.float32([1.5]))[0])
    assert heard.max() <= CEILING
    assert not heard[3].any()
    assert 200 <= shared.callback.read().clipped_samples <= 264


def test_outlets_of_a_device_with_another_rate_stay_in_phase() -> None:
    shared, _ = playing_deck()
    noise = np.random.default_rng(3).uniform(-0.4, 0.4, 30_000).astype(np.float32)
    shared.stem.data[:, :30_000] = noise
    control = CallbackControl(shared, 4, 48000, SIDE)
    heard = np.concatenate([step(shared, control, n, 4) for n in (1, 300, 64, 777, 2000, 5000)], axis=1)
    assert np.abs(heard).max() > 0.2
    for other in heard[1:]:
        np.testing.assert_array_equal(other, heard[0])


def test_routes_that_do_not_fit_are_the_callers_mistake() -> None:
    shared = make_deck()
    with pytest.raises(ValueError, match="got 3"):
        CallbackControl(shared, 3, routes=SIDE)
    with pytest.raises(ValueError, match="flute"):
        CallbackControl(shared, 4, routes={"flute": Outlet(2, 3)})
