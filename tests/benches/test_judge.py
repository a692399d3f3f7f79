"""The judge of a soak: silent about what is right, and deaf to nothing."""

from __future__ import annotations

import numpy as np
import pytest

from benches.judge import PERIOD, RATE, WINDOW, Judge, counter

SECONDS = 6


def judged(entered: np.ndarray, left: np.ndarray, piece: int = 5003) -> Judge:
    judge = Judge()
    for at in range(0, len(left), piece):
        judge.take(entered[at : at + piece], left[at : at + piece])
    return judge


def sound(seconds: float = SECONDS) -> np.ndarray:
    return counter()[np.arange(round(seconds * RATE)) % PERIOD]


def late(samples: np.ndarray, delay: int) -> np.ndarray:
    return np.concatenate([np.zeros(delay, np.float32), samples[:-delay]])


@pytest.mark.parametrize("delay", [257, 5777, RATE - 3])
def test_a_constant_delay_is_found_and_nothing_is_wrong(delay: int) -> None:
    judge = judged(sound(), late(sound(), delay))
    assert judge.wrong == 0
    assert judge.judged > (SECONDS - 3) * RATE
    assert judge.delays == pytest.approx((delay, delay), abs=0.01)


def test_a_corrector_that_moves_slowly_is_right() -> None:
    samples = sound()
    at = np.arange(len(samples)) * (1 - 100e-6) - 3000.3  # 100 ppm
    judge = judged(samples, np.interp(at, np.arange(len(samples)), samples).astype(np.float32))
    assert judge.wrong == 0
    assert judge.delays[1] - judge.delays[0] > 10


@pytest.mark.parametrize("lost", [1, -1, 64, 3000])
@pytest.mark.parametrize("phase", range(0, WINDOW, 73))
def test_samples_lost_or_doubled_are_one_fault(lost: int, phase: int) -> None:
    """`lost` negative: so many are heard twice."""
    at = 4 * RATE + phase
    whole = late(sound(), 4000)
    left = np.concatenate([whole[:at], whole[at + lost :]])
    judge = judged(sound()[: len(left)], left)
    assert len(judge.faults) == 1
    assert -WINDOW <= at - judge.faults[0] < WINDOW
    assert 0 < judge.wrong <= 4 * WINDOW
    assert judge.delays[0] == pytest.approx(min(4000, 4000 - lost), abs=0.3)


@pytest.mark.parametrize("gap", [32, 1000, RATE])
def test_silence_where_sound_was_due_is_a_fault_and_no_more(gap: int) -> None:
    left = late(sound(), 999)
    left[4 * RATE : 4 * RATE + gap] = 0
    judge = judged(sound(), left)
    assert len(judge.faults) == 1
    assert gap <= judge.wrong + 2 * WINDOW
    assert judge.wrong <= gap + RATE // 8 + 4 * WINDOW


def test_silence_that_entered_is_no_fault_and_not_judged() -> None:
    samples = sound()
    samples[3 * RATE : 4 * RATE] = 0
    judge = judged(samples, late(samples, 500))
    assert judge.wrong == 0
    assert RATE - 4 * WINDOW < judge.silent <= RATE


def test_counting_can_begin_anew() -> None:
    left = late(sound(), 700)
    left[3 * RATE : 3 * RATE + 100] = 0
    judge = judged(sound(), left)
    assert judge.wrong > 0
    judge.count_from_now()
    assert (judge.wrong, judge.judged, judge.faults) == (0, 0, [])
