"""The clock corrector: a resampler whose ratio may change at every block, and the loop that steers it.

For a device that does not run at the engine's rate, and for two devices, which never run at quite the same: the
output device is the master clock, and what is captured is stretched by some millionths so that its end keeps its
distance from what is played.

`correct` resamples: a windowed sinc of TAPS input samples, tabled at PHASES places between two samples and
interpolated linearly in between. It delays by `DELAY` input samples. While the ratio is exactly 1, what comes out is
what went in, bit for bit. Places are whole numbers (input samples with 40 fractional bits), so however the stream
is cut into blocks, the same samples come out. All pairs of channels share place and ratio: they stay in phase.

`steer` is the loop. A distance is known once a block, with the jitter of two callbacks on it, which is hundreds of
times what the clocks drift within that block. A Kalman filter of two states, distance and drift, weighs it with the
jitter as observed. The ratio follows the drift and leans towards the target, both so slowly that no ear and no
spectrum shows it. A distance that does not fit is left out; when none fits any more the distance has jumped (an
overrun, say), and the filter finds it again with the drift known so far.

Use from a callback (`control` is the only address it needs):

    corrector = Corrector(48000, 44100)                               # once, and kept alive
    control = int64_at(address, CORRECTOR_FIELDS)                      # address = corrector.control.ctypes.data
    made = correct(control, samples, output)                          # output[:, :made] at 44.1 kHz, to the ring
    total += made
    stamp(own_clock, total, now, 44100.0)                             # now = time_of(time_info, INPUT)
    distance = position_at(own_clock, now, 44100.0) - position_at(output_clock, now, 44100.0)
    off = steer(control, distance, frames)                            # the ratio of the next block

Distances must be known better than a block: positions move in blocks, and two equal blocks whose clocks differ by
20 ppm slip past each other once in minutes. `rtsep.shared.stream_clock` tells positions between blocks, and the output
stream's clock is `OutputStream.clock`. `benches/corrector.py` shows what jitter costs.
"""

import numpy as np
from numba import types
from numpy.typing import NDArray

from rtsep.shared.atomics import float32_at, float64_at, int64_at
from rtsep.shared.compiled import FLOAT32_INPUT, FLOAT32_VIEW, FLOAT64_LINE, INT64_LINE, kernel
from rtsep.timebase import SAMPLE_RATE

TAPS = 48
DELAY = TAPS // 2  # input samples
PHASES = 256  # interpolated, 100 dB below the signal are kept up to a quarter of the rate
KAISER_BETA = 7.0  # 48 kHz to 44.1: 20 kHz lose 0.02 dB; what would fold back is 53 dB down from 24 kHz on
PART = 512  # input samples taken at once

ONE = 1 << 40  # an input sample, as places are counted
TO_SAMPLE, TO_PHASE = 40, 32
PHASE_FRACTION = np.float32(2.0**-32)

# control, int64: addresses, and how many pairs of channels there are
STATE, LOOP, TABLE, HISTORY, PAIRS = range(5)
CORRECTOR_FIELDS = 5

# state, int64
NEXT, STEP, STATE_FIELDS = (
    0,
    1,
    2,
)  # place of the next output sample from the next input sample on; from one to the next

# loop, float64; samples are those of the output
NOMINAL = 0  # input samples for an output sample
TARGET = 1  # distance to be held, NaN while it is being found
DISTANCE = 2  # estimated
DRIFT = 3  # estimated: by how much of a sample the distance grows with a sample, uncorrected
CORRECTION = 4  # by how much it is made to shrink
JITTER = 5  # mean size of what does not fit, around its own mean, samples
AGE = 6  # samples since the start
ASTRAY = 7  # samples since a distance has fitted
BIAS = 8  # mean of what does not fit: how far the estimate lags, no jitter
DISTANCE_VARIANCE, COVARIANCE, DRIFT_VARIANCE = 9, 10, 11
FOUND = 12  # samples since the distance was found, or found again
LOOP_FIELDS = 13

_RATE = float(SAMPLE_RATE)  # of the output
EXPECTED_DRIFT = 2e-4
MAX_DRIFT = 1e-3
FIRST_JITTER = 300.0  # until it is known
LEAST_JITTER = 4.0  # a tenth of a millisecond: time stamps that agree better wander together
JITTER_TIME = 1.0 * _RATE
WANDER = (2e-7) ** 2 / _RATE  # variance by which the drift itself changes with a sample: 0.2 ppm in a second
FITTING = 8.0  # mean jitters
JUMPED = 0.5 * _RATE
LISTENING = 2.0 * _RATE  # before the first distance counts: the clocks find out what is late, or was wrong at first
SETTLING = 3.0 * _RATE  # before there is any correction
SURE = 1.0 * _RATE  # before a distance that was found is held
HURRY = 9.0 * _RATE  # until then the ratio follows within FAST, from then on within SLOW
FAST = 1.0 * _RATE
SLOW = 15.0 * _RATE
LEANING = 60.0 * _RATE  # time in which a distance off its target is made up for,
MAX_LEANING = 5e-6  # but no faster


@kernel(types.int64(INT64_LINE, FLOAT32_INPUT, FLOAT32_VIEW))
def correct(control, samples, output):
    """Take all of `samples` (2 pairs, frames) and write to `output` (2 pairs, room); returns how many.

    `Corrector.max_output` samples of room are always enough; what finds no room is late, or lost beyond one sample.
    """
    state = int64_at(control[STATE], STATE_FIELDS)
    table = float32_at(control[TABLE], PHASES + 1, TAPS)
    pairs = control[PAIRS]
    history = float32_at(control[HISTORY], 2 * pairs, TAPS + PART)
    frames, room = samples.shape[1], output.shape[1]
    place, step = state[NEXT], state[STEP]
    made = taken = 0
    while True:
        n = min(frames - taken, PART)
        for c in range(2 * pairs):
            for i in range(n):
                history[c, TAPS + i] = samples[c, taken + i]
        while place < n * ONE and made < room:
            # Sample number i of this part is in column TAPS + i; the newest tap takes sample place >> TO_SAMPLE.
            oldest = (place >> TO_SAMPLE) + 1
            row = (place & (ONE - 1)) >> TO_PHASE
            weight = np.float32(place & ((1 << TO_PHASE) - 1)) * PHASE_FRACTION
            for pair in range(pairs):
                left, right = 2 * pair, 2 * pair + 1
                # Four sums a side: one alone would wait for each addition to end.
                l0 = l1 = l2 = l3 = r0 = r1 = r2 = r3 = np.float32(0.0)
                for k in range(0, TAPS, 4):
                    t0 = table[row, k] + weight * (table[row + 1, k] - table[row, k])
                    t1 = table[row, k + 1] + weight * (table[row + 1, k + 1] - table[row, k + 1])
                    t2 = table[row, k + 2] + weight * (table[row + 1, k + 2] - table[row, k + 2])
                    t3 = table[row, k + 3] + weight * (table[row + 1, k + 3] - table[row, k + 3])
                    l0 += t0 * history[left, oldest + k]
                    l1 += t1 * history[left, oldest + k + 1]
                    l2 += t2 * history[left, oldest + k + 2]
                    l3 += t3 * history[left, oldest + k + 3]
                    r0 += t0 * history[right, oldest + k]
                    r1 += t1 * history[right, oldest + k + 1]
                    r2 += t2 * history[right, oldest + k + 2]
                    r3 += t3 * history[right, oldest + k + 3]
                output[left, made] = (l0 + l1) + (l2 + l3)
                output[right, made] = (r0 + r1) + (r2 + r3)
            made += 1
            place += step
        place = max(place - n * ONE, 1 - ONE)  # older samples than that are not kept
        for c in range(2 * pairs):
            for k in range(TAPS):
                history[c, k] = history[c, n + k]
        taken += n
        if taken >= frames:
            break
    state[NEXT] = place
    return made


@kernel(types.int64(INT64_LINE, types.int64))
def input_needed(control, count):
    """Return how many input samples `correct` needs to write `count` >= 1 samples."""
    state = int64_at(control[STATE], STATE_FIELDS)
    return ((state[NEXT] + (count - 1) * state[STEP]) >> TO_SAMPLE) + 1


@kernel(types.void(INT64_LINE))
def _set_step(control):
    state = int64_at(control[STATE], STATE_FIELDS)
    loop = float64_at(control[LOOP], LOOP_FIELDS)
    state[STEP] = np.int64(loop[NOMINAL] * (1.0 + loop[CORRECTION]) * ONE + 0.5)


@kernel(types.void(FLOAT64_LINE, types.float64, types.float64))
def _estimate(loop, distance, samples):
    """Predict distance and drift over `samples`, then correct them by what was measured: a Kalman filter."""
    loop[DISTANCE] += samples * (loop[DRIFT] - loop[CORRECTION])
    loop[DISTANCE_VARIANCE] += samples * (2.0 * loop[COVARIANCE] + samples * loop[DRIFT_VARIANCE])
    loop[COVARIANCE] += samples * loop[DRIFT_VARIANCE]
    loop[DRIFT_VARIANCE] += samples * WANDER
    off = distance - loop[DISTANCE]
    if abs(off) > FITTING * loop[JITTER] + 1.0:
        loop[ASTRAY] += samples
        if loop[ASTRAY] > JUMPED:  # or the jitter has grown: the wider gate lets it in
            loop[ASTRAY] = 0.0
            loop[JITTER] *= 2.0
            loop[DISTANCE] = distance
            loop[DISTANCE_VARIANCE] = (2.0 * loop[JITTER]) ** 2
            loop[COVARIANCE] = loop[BIAS] = loop[FOUND] = 0.0
            loop[TARGET] = np.nan  # what was lost is lost: nothing is stretched to make up for it
        return
    loop[ASTRAY] = 0.0
    loop[FOUND] += samples
    share = min(samples / JITTER_TIME, 1.0)
    loop[BIAS] += (off - loop[BIAS]) * share
    loop[JITTER] = max(loop[JITTER] + (abs(off - loop[BIAS]) - loop[JITTER]) * share, LEAST_JITTER)
    noise = 1.6 * loop[JITTER] ** 2  # variance from mean size
    gain = loop[DISTANCE_VARIANCE] / (loop[DISTANCE_VARIANCE] + noise)
    drift_gain = loop[COVARIANCE] / (loop[DISTANCE_VARIANCE] + noise)
    loop[DISTANCE] += gain * off
    loop[DRIFT] = min(max(loop[DRIFT] + drift_gain * off, -MAX_DRIFT), MAX_DRIFT)
    loop[DRIFT_VARIANCE] -= drift_gain * loop[COVARIANCE]
    loop[COVARIANCE] -= gain * loop[COVARIANCE]
    loop[DISTANCE_VARIANCE] -= gain * loop[DISTANCE_VARIANCE]


@kernel(types.void(INT64_LINE, FLOAT64_LINE, types.float64))
def _follow(control, loop, samples):
    """Move the ratio towards the drift, and a little beyond while the distance is off its target."""
    if loop[AGE] < SETTLING:
        return
    leaning = 0.0
    if loop[TARGET] == loop[TARGET]:
        leaning = min(max((loop[DISTANCE] - loop[TARGET]) / LEANING, -MAX_LEANING), MAX_LEANING)
    elif loop[FOUND] >= SURE:  # NaN until then
        loop[TARGET] = loop[DISTANCE]
    time = FAST if loop[AGE] < HURRY else SLOW
    loop[CORRECTION] += (loop[DRIFT] + leaning - loop[CORRECTION]) * min(samples / time, 1.0)
    _set_step(control)


@kernel(types.float64(INT64_LINE, types.float64, types.int64))
def steer(control, distance, frames):
    """Set the ratio of the next block from the `distance` after this one of `frames` input samples.

    `distance`: output samples by which the position of what was made is ahead of the master clock's. One that is NaN
    or infinite is not looked at. Returns by how much it is estimated to be above its target, NaN while there is none.
    """
    loop = float64_at(control[LOOP], LOOP_FIELDS)
    samples = frames / loop[NOMINAL]
    if frames > 0 and abs(distance) < 1e15:
        loop[AGE] += samples
        if loop[AGE] <= LISTENING:
            loop[DISTANCE] = distance
        else:
            _estimate(loop, distance, samples)
            _follow(control, loop, samples)
    return loop[DISTANCE] - loop[TARGET]


class Corrector:
    """Owns all memory that `correct` and `steer` use; keep it as long as a callback may call them.

    Args:
        rate_in, rate_out: nominal rates in Hz.
        pairs: of channels, resampled together.

    Attributes:
        control: int64, the argument of the kernels.
        delay_s: delay of the output, in seconds.
    """

    def __init__(self, rate_in: float, rate_out: float, pairs: int = 1) -> None:
        if not (rate_in > 0 and rate_out > 0 and 1 / 8 <= rate_in / rate_out <= 8):
            raise ValueError(f"expected two rates within a factor of 8, got {rate_in} and {rate_out} Hz")
        self.delay_s = DELAY / rate_in
        self._table = _table(min(1.0, rate_out / rate_in))
        self._history = np.zeros((2 * pairs, TAPS + PART), np.float32)
        self._state = np.zeros(STATE_FIELDS, np.int64)
        self._loop = np.zeros(LOOP_FIELDS, np.float64)
        self._loop[NOMINAL] = rate_in / rate_out
        self._loop[TARGET] = np.nan
        self._loop[JITTER] = FIRST_JITTER
        self._loop[DISTANCE_VARIANCE] = FIRST_JITTER**2
        self._loop[DRIFT_VARIANCE] = EXPECTED_DRIFT**2
        self.control = np.zeros(CORRECTOR_FIELDS, np.int64)
        arrays = (self._state, self._loop, self._table, self._history)
        self.control[:] = [*(array.ctypes.data for array in arrays), pairs]
        self._history[:] = 0.0  # np.zeros only promises pages; a callback must not be the first to touch them
        _set_step(self.control)

    def max_output(self, frames: int) -> int:
        """Return how many samples `correct` writes for `frames` at most, at any correction."""
        return int(frames / (self._loop[NOMINAL] * (1 - 2 * MAX_DRIFT))) + 2

    def reset_target(self) -> None:
        """Make `steer` hold the present distance from now on."""
        self._loop[TARGET] = np.nan

    def retune(self, rate_in: float, rate_out: float) -> None:
        """Change the nominal rates, in mid-stream; not while a callback may call the kernels."""
        self._table[:] = _table(min(1.0, rate_out / rate_in))
        self._loop[NOMINAL] = rate_in / rate_out
        _set_step(self.control)

    @property
    def next_place(self) -> tuple[float, float]:
        """Place of the next output sample beyond the next input sample, delayed by `DELAY`, and from one to the next.

        Both in input samples.
        """
        return float(self._state[NEXT]) / ONE, float(self._state[STEP]) / ONE

    @property
    def correction_ppm(self) -> float:
        """Estimated deviation of the input's clock, in ppm; positive: fast."""
        return float(self._loop[CORRECTION]) * 1e6


def _table(cutoff: float) -> NDArray[np.float32]:
    """Coefficients (PHASES + 1, TAPS) of the low-pass at `cutoff` (1: half the input's rate), each row of sum 1.

    Row p is for a place p / PHASES beyond a sample; its tap k weighs the sample DELAY - 1 - k before that one.
    """
    place = np.arange(PHASES + 1)[:, None] / PHASES + (DELAY - 1 - np.arange(TAPS))
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1.0 - (place / DELAY) ** 2, 0.0, None)))
    rows = np.sinc(cutoff * place) * window
    rows[np.abs(rows) < 1e-12 * np.i0(KAISER_BETA)] = 0.0  # the zeros of the sinc are zeros
    return (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
