"""A stream's position between two callbacks, however late they are."""

import numpy as np
import pytest

from rtsep.shared.stream_clock import SEQUENCE, new_clock, position_at, stamp, time_of

RATE = 48000.0
MS = 1_000_000


def test_a_position_is_carried_on_at_its_rate() -> None:
    clock = new_clock()
    assert np.isnan(position_at(clock, 0, RATE))
    stamp(clock, 1000, 20 * MS, RATE)
    assert position_at(clock, 20 * MS, RATE) == 1000
    assert position_at(clock, 30 * MS, RATE) == pytest.approx(1480)
    assert position_at(clock, 10 * MS, RATE) == pytest.approx(520)


def test_a_stamp_being_written_is_not_read() -> None:
    clock = new_clock()
    stamp(clock, 1000, 20 * MS, RATE)
    clock[SEQUENCE] += 1
    assert np.isnan(position_at(clock, 20 * MS, RATE))


@pytest.mark.parametrize("drift_ppm", [-300, 0, 300])
def test_late_callbacks_and_bursts_hardly_move_it(drift_ppm) -> None:
    clock = new_clock()
    rng = np.random.default_rng(0)
    for block in range(2000):
        true_ms = block * 480 / RATE * 1000 / (1 + drift_ppm * 1e-6)
        called_ms = true_ms + (3 - block % 4) * 10 + rng.exponential(2)
        stamp(clock, block * 480, int(called_ms * MS), RATE)
        if block > 100:
            assert position_at(clock, int(true_ms * MS), RATE) == pytest.approx(block * 480, abs=0.002 * RATE)


def test_an_early_stamp_counts_at_once_and_a_standstill_after_a_second() -> None:
    clock = new_clock()
    stamp(clock, 0, 0, RATE)
    stamp(clock, 480, 5 * MS, RATE)
    assert position_at(clock, 5 * MS, RATE) == 480
    for block in range(1, 110):
        late = 7 * (block % 3)
        stamp(clock, 480 + block * 480, (5 + 50 + block * 10 + late) * MS, RATE)  # 50 ms were lost
    assert position_at(clock, 1145 * MS, RATE) == pytest.approx(480 + 109 * 480, abs=2)


def test_first_stamps_that_are_wrong_are_forgotten_within_two_seconds() -> None:
    """A stream that is being filled before it plays tells times that are far too early."""
    clock = new_clock()
    for block in range(200):
        early = 22 if block < 3 else 0
        stamp(clock, block * 480, (block * 10 - early) * MS, RATE)
    assert position_at(clock, 2000 * MS, RATE) == pytest.approx(200 * 480, abs=2)


def test_the_converter_s_time_is_taken_where_there_is_one() -> None:
    times = np.array([1.5, 2.0, 0.0])
    assert [time_of(times.ctypes.data, which) for which in (0, 1, 2)] == [1500 * MS, 2000 * MS, 2000 * MS]
