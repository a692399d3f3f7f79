"""Two devices on two clocks, simulated: an output device that plays, and one that captures and is corrected."""

import numpy as np
from numba import njit

from rtsep.dsp.clock import new_clock, position_at, stamp
from rtsep.dsp.corrector import CORRECTION, LOOP, LOOP_WORDS, NOMINAL, Corrector, steer
from rtsep.dsp.atomics import float64_at

OUTPUT_RATE = 44100.0


@njit(nogil=True)
def _late(block, number, burst, jitter):
    """Samples by which a callback is late: several blocks come at once, and everyone when the system pleases."""
    late = 0.0 if jitter == 0.0 else np.random.exponential(jitter)
    waits = burst - 1 - number % burst
    return late + waits * block


@njit(nogil=True)
def _run(control, output, capture, drift, block_in, block_out, burst_in, burst_out, jitter, seed, log):
    """Let time go by, counted in samples of the output device; see `simulate`."""
    np.random.seed(seed)
    loop = float64_at(control[LOOP], LOOP_WORDS)
    block = block_in / (loop[NOMINAL] * (1.0 + drift))  # how long a block really takes to come in
    phase = np.random.random() * block_out
    made = 0.0
    played = 0
    called = phase + _late(block_out, 0, burst_out, jitter)
    captured = 0.0
    for k in range(log.shape[0]):
        whole = (k + 1) * block
        captured = max(captured, whole + _late(block, k, burst_in, jitter))
        while called <= captured:
            stamp(output, played * block_out, np.int64(called / OUTPUT_RATE * 1e9), OUTPUT_RATE)
            played += 1
            called = max(called, phase + played * block_out + _late(block_out, played, burst_out, jitter))
        made += block_in / (loop[NOMINAL] * (1.0 + loop[CORRECTION]))
        now = np.int64(captured / OUTPUT_RATE * 1e9)
        stamp(capture, np.int64(made), now, OUTPUT_RATE)
        distance = position_at(capture, now, OUTPUT_RATE) - position_at(output, now, OUTPUT_RATE)
        steer(control, distance, block_in)
        log[k, 0] = whole / OUTPUT_RATE
        log[k, 1] = loop[CORRECTION]
        log[k, 2] = made - whole


def simulate(
    drift_ppm: float,
    seconds: float,
    rate_in: int = 44100,
    blocks: tuple[int, int] = (256, 256),
    bursts: tuple[int, int] = (1, 1),
    jitter_ms: float = 0.2,
    seed: int = 0,
) -> np.ndarray:
    """Rows of time in s, correction in ppm, true distance in output samples, one for each captured block.

    `blocks` and `bursts` of (capture, output): samples of a callback, and callbacks that come at once. On top of that
    each is late by `jitter_ms` on average, distributed exponentially.
    """
    corrector = Corrector(rate_in, OUTPUT_RATE)
    log = np.zeros((int(seconds * rate_in / blocks[0]), 3))
    jitter = jitter_ms / 1000 * OUTPUT_RATE
    _run(corrector.control, new_clock(), new_clock(), drift_ppm * 1e-6, *blocks, *bursts, jitter, seed, log)
    log[:, 1] *= 1e6
    return log
