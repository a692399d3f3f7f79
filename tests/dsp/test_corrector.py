"""The clock corrector, on simulated clocks: how near the ratio comes, how the distance holds, what a tone loses."""

import re

import numpy as np
import pytest
from numba import cfunc, types

from rtsep.dsp.corrector import CORRECTOR_FIELDS, DELAY, Corrector, correct, input_needed, steer
from rtsep.shared.atomics import float32_at, int64_at
from rtsep.shared.compiled import FLAGS
from rtsep.shared.stream_clock import position_at, stamp
from tests.dsp.two_clocks import OUTPUT_RATE, simulate

BLOCKS = [(256, 256), (441, 512), (512, 256), (1024, 1024)]


def run(corrector: Corrector, samples: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """All that comes of `samples` (channels, n) in blocks of `sizes`, again and again."""
    out = np.full((len(samples), corrector.max_output(max(sizes))), np.nan, np.float32)
    pieces, at, turn = [], 0, 0
    while at < samples.shape[1]:
        n = min(int(sizes[turn % len(sizes)]), samples.shape[1] - at)
        made = correct(corrector.control, samples[:, at : at + n], out)
        assert made <= corrector.max_output(n)
        pieces.append(out[:, :made].copy())
        at, turn = at + n, turn + 1
    return np.concatenate(pieces, axis=1)


def tone(hertz: float, rate: float, samples: int) -> np.ndarray:
    wave = np.sin(2 * np.pi * hertz * np.arange(samples) / rate).astype(np.float32)
    return np.stack([wave, -0.5 * wave])


def signal_to_noise_db(signal: np.ndarray, near_hertz: float, rate: float) -> float:
    """Of the best sine of about that frequency: amplitude, phase and frequency are fitted."""
    time_s = (np.arange(len(signal)) - len(signal) / 2) / rate
    hertz = near_hertz
    for _ in range(4):
        angle = 2 * np.pi * hertz * time_s
        # The third and fourth columns are what a slightly other frequency would change.
        basis = np.stack([np.cos(angle), np.sin(angle), time_s * np.cos(angle), time_s * np.sin(angle)], axis=1)
        fit = np.linalg.lstsq(basis, signal.astype(np.float64), rcond=None)[0]
        hertz += (fit[1] * fit[2] - fit[0] * fit[3]) / (fit[0] ** 2 + fit[1] ** 2) / (2 * np.pi)
    basis = np.stack([np.cos(2 * np.pi * hertz * time_s), np.sin(2 * np.pi * hertz * time_s)], axis=1)
    sine = basis @ np.linalg.lstsq(basis, signal.astype(np.float64), rcond=None)[0]
    return float(10 * np.log10(np.mean(sine**2) / np.mean((signal - sine) ** 2)))


def test_the_same_rate_is_transparent_bit_for_bit() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 5003)).astype(np.float32)
    heard = run(Corrector(44100, 44100), samples, np.array([1, 7, 256, 600]))
    np.testing.assert_array_equal(heard[:, DELAY:], samples[:, :-DELAY])
    assert not heard[:, :DELAY].any()


@pytest.mark.parametrize("rates", [(48000, 44100), (44100, 48000), (16000, 44100), (44100, 16000), (96000, 44100)])
def test_a_tone_keeps_pitch_level_and_place(rates) -> None:
    rate_in, rate_out = rates
    corrector = Corrector(rate_in, rate_out)
    heard = run(corrector, tone(997, rate_in, rate_in), np.array([441]))
    assert abs(heard.shape[1] - rate_out) <= 1
    time_s = np.arange(heard.shape[1]) / rate_out - corrector.delay_s
    error = heard[0] - np.sin(2 * np.pi * 997 * time_s)
    assert np.abs(error[200:]).max() < 3e-4
    assert signal_to_noise_db(heard[0, 200:], 997, rate_out) > 85


@pytest.mark.parametrize("hertz", [19_000, 20_000])
def test_high_tones_pass_and_what_folds_back_does_not(hertz) -> None:
    corrector = Corrector(48000, 44100)
    heard = run(corrector, tone(hertz, 48000, 48000), np.array([512]))[0, 200:]
    assert 20 * np.log10(np.sqrt(2 * np.mean(heard**2))) == pytest.approx(0, abs=0.05)
    assert signal_to_noise_db(heard, hertz, 44100) > 70
    above = tone(23_900, 48000, 48000)
    assert 20 * np.log10(np.sqrt(2 * np.mean(run(corrector, above, np.array([512]))[0, 200:] ** 2))) < -40


@pytest.mark.parametrize("rates", [(48000, 44100), (44100, 48000)])
def test_block_sizes_change_nothing(rates) -> None:
    samples = np.random.default_rng(1).standard_normal((2, 20000)).astype(np.float32)
    whole = run(Corrector(*rates), samples, np.array([20000]))
    for sizes in ([1, 2, 3], [511, 512, 513], [441, 1024]):
        np.testing.assert_array_equal(run(Corrector(*rates), samples, np.array(sizes)), whole)


def test_just_as_many_samples_as_needed_make_a_block() -> None:
    samples = np.random.default_rng(2).standard_normal((2, 30000)).astype(np.float32)
    whole = run(Corrector(44100, 48000), samples, np.array([30000]))
    corrector, at, made = Corrector(44100, 48000), 0, 0
    for n in np.random.default_rng(3).integers(1, 300, 200).tolist():
        out = np.empty((2, n), np.float32)
        take = input_needed(corrector.control, n)
        assert correct(corrector.control, samples[:, at : at + take], out) == n
        np.testing.assert_array_equal(out, whole[:, made : made + n])
        at, made = at + take, made + n


def test_pairs_of_channels_come_out_as_if_each_had_been_alone() -> None:
    samples = np.random.default_rng(4).standard_normal((6, 3001)).astype(np.float32)
    heard = run(Corrector(44100, 48000, pairs=3), samples, np.array([1, 256, 77]))
    for pair in range(3):
        alone = run(Corrector(44100, 48000), samples[2 * pair : 2 * pair + 2], np.array([3001]))
        np.testing.assert_array_equal(heard[2 * pair : 2 * pair + 2], alone)


def test_too_little_room_loses_samples_and_nothing_else() -> None:
    corrector = Corrector(44100, 192000)
    out = np.zeros((2, 64), np.float32)
    for _ in range(5):
        assert correct(corrector.control, np.ones((2, 3000), np.float32), out) == 64
    np.testing.assert_allclose(out, 1.0, atol=1e-6)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(0, 44100), (44100, 0), (1000, 44100), (np.nan, 44100)])
def test_impossible_rates_are_refused(rate_in, rate_out) -> None:
    with pytest.raises(ValueError, match="two rates"):
        Corrector(rate_in, rate_out)


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("rate_in", [44100, 48000])
@pytest.mark.parametrize("drift_ppm", [-200, 200])
def test_after_ten_seconds_the_ratio_is_within_20_ppm_of_the_truth(drift_ppm, rate_in, blocks) -> None:
    for seed in range(3):
        time_s, ppm, _ = simulate(drift_ppm, 60, rate_in, blocks, seed=seed)[0].T
        assert np.abs(ppm[time_s >= 10] - drift_ppm).max() < 20


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize(("bursts", "jitter_ms"), [((1, 1), 0.2), ((1, 1), 3.0), ((4, 1), 0.5), ((2, 3), 1.0)])
def test_for_an_hour_the_distance_stays_within_a_block(blocks, bursts, jitter_ms) -> None:
    drift_ppm, rate_in = (200, 48000) if blocks[0] == 441 else (-200, 44100)
    _, ppm, distance = simulate(drift_ppm, 3600, rate_in, blocks, bursts, jitter_ms)[0].T
    assert np.abs(distance - distance[0]).max() < min(blocks)
    assert np.abs(ppm[len(ppm) // 2 :] - drift_ppm).max() < 12


@pytest.mark.parametrize("rate_in", [44100, 48000])
@pytest.mark.parametrize("drift_ppm", [-200, 200])
@pytest.mark.parametrize("block", [256, 1024])
def test_a_tone_through_the_running_loop_keeps_70_db_and_has_no_step(drift_ppm, rate_in, block) -> None:
    _, heard = simulate(drift_ppm, 24, rate_in, (block, 441), hertz=997)
    sound = heard[0].astype(np.float64)
    second = int(OUTPUT_RATE)
    for begin in range(10 * second, 23 * second, second):
        assert signal_to_noise_db(sound[begin : begin + second], 997, OUTPUT_RATE) >= 70, begin / second
    # Before that the ratio runs after the truth and the pitch with it; short pieces show that there is nothing else.
    for begin in range(2000, 10 * second, 4410):
        assert signal_to_noise_db(sound[begin : begin + 4410], 997, OUTPUT_RATE) >= 70, begin / second
    # A sine obeys x[n+1] + x[n-1] = 2 cos(w) x[n]; a step of any size breaks the rule by that much.
    cosine = np.cos(2 * np.pi * 997 / OUTPUT_RATE)
    steps = sound[2:] + sound[:-2] - 2 * cosine * sound[1:-1]
    assert 20 * np.log10(np.abs(steps[2000:]).max()) < -80


@pytest.mark.parametrize("noise", [5.0, 100.0])
def test_a_distance_that_jumps_is_held_where_it_is_then_and_the_ratio_does_not_move(noise) -> None:
    corrector = Corrector(44100, 44100)
    rng = np.random.default_rng(5)
    true, error, held = 0.0, 0.0, 0.0
    for block in range(30 * 172):
        true += 256 * 100e-6 - 256 * corrector.correction_ppm * 1e-6
        jump = 3000.0 if block >= 20 * 172 else 0.0  # an overrun after 20 s
        late = 2000.0 if block % 500 == 0 else 0.0  # and a callback that comes too late now and then
        error = steer(corrector.control, true + jump - late + rng.normal(0, noise), 256)
        if block == 20 * 172:
            held = true + jump
        if block > 12 * 172:
            assert corrector.correction_ppm == pytest.approx(100, abs=10 + noise / 5)
    # It is held where it really is, not where one noisy look saw it.
    assert abs(true + 3000.0 - held) < 2 + noise / 4
    assert abs(error) < 2 + noise / 4


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
def test_an_unknown_distance_changes_nothing(nothing) -> None:
    corrector = Corrector(48000, 44100)
    for _ in range(2000):
        steer(corrector.control, nothing, 512)
        steer(corrector.control, 7.0, 0)
    assert corrector.correction_ppm == 0
    assert np.isnan(steer(corrector.control, nothing, 512))


def test_no_allocation_no_lock_and_no_call_in_what_a_callback_calls() -> None:
    def capture(control, clock, samples, frames, made, room):
        words = int64_at(control, CORRECTOR_FIELDS)
        line = int64_at(clock, 16)
        count = correct(words, float32_at(samples, 2, frames), float32_at(made, 2, room))
        stamp(line, count, frames, 44100.0)
        steer(words, position_at(line, count, 44100.0), frames)

    signature = types.void(*[types.int64] * 6)
    module = cfunc(signature, **FLAGS)(capture).inspect_llvm()
    declared = set(re.findall(r"^declare [^@]*@\"?([\w.]+)", module, re.MULTILINE))
    assert {name for name in declared if not name.startswith("llvm.")} <= {"memcpy", "memset", "memmove"}
    assert not re.search(r"NRT_|PyGILState|numba_gil|_PyErr|call [^@\n]*%[\w.]+\(", module)
    assert not re.search(r"= (?:[su]div|[su]rem) ", module)
