"""Two devices on two clocks, simulated: an output device that plays, and one that captures and is corrected."""

import numpy as np
from numba import njit

from rtsep.dsp.corrector import CORRECTION, LOOP, LOOP_FIELDS, NOMINAL, Corrector, correct, steer
from rtsep.shared.atomics import float64_at
from rtsep.shared.stream_clock import new_clock, position_at, stamp

OUTPUT_RATE = 44100.0


@njit(nogil=True)
def _late(block, number, burst, jitter):
    """Samples by which a callback is late: several blocks come at once, and each when the system pleases."""
    late = 0.0 if jitter == 0.0 else np.random.exponential(jitter)  # noqa: NPY002  (all that numba has)
    return late + (burst - 1 - number % burst) * block


@njit(nogil=True)
def _run(control, output, capture, drift, blocks, bursts, jitter, seed, log, source, heard):
    """Let time go by, counted in samples of the output device; see `simulate`. Returns how many samples came out."""
    np.random.seed(seed)  # noqa: NPY002
    loop = float64_at(control[LOOP], LOOP_FIELDS)
    block_in, block_out = blocks
    block = block_in / (loop[NOMINAL] * (1.0 + drift))  # how long a block really takes to come in
    phase = np.random.random() * block_out  # noqa: NPY002
    made = captured = 0.0
    count = played = 0
    called = phase + _late(block_out, 0, bursts[1], jitter)
    for k in range(log.shape[0]):
        whole = (k + 1) * block
        captured = max(captured, whole + _late(block, k, bursts[0], jitter))
        while called <= captured:
            stamp(output, played * block_out, np.int64(called / OUTPUT_RATE * 1e9), OUTPUT_RATE)
            played += 1
            called = max(called, phase + played * block_out + _late(block_out, played, bursts[1], jitter))
        made += block_in / (loop[NOMINAL] * (1.0 + loop[CORRECTION]))
        if heard.shape[1] > 0:
            count += correct(control, source[:, k * block_in : (k + 1) * block_in], heard[:, count:])
        else:
            count = np.int64(made)
        now = np.int64(captured / OUTPUT_RATE * 1e9)
        stamp(capture, count, now, OUTPUT_RATE)
        distance = position_at(capture, now, OUTPUT_RATE) - position_at(output, now, OUTPUT_RATE)
        steer(control, distance, block_in)
        log[k, 0] = whole / OUTPUT_RATE
        log[k, 1] = loop[CORRECTION]
        log[k, 2] = made - whole
    return count


def simulate(
    drift_ppm: float,
    seconds: float,
    rate_in: int = 44100,
    blocks: tuple[int, int] = (256, 256),
    bursts: tuple[int, int] = (1, 1),
    jitter_ms: float = 0.2,
    seed: int = 0,
    hertz: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a log and what was heard of a tone (2, n), if one of `hertz` is to be captured.

    The log has rows of time in s, correction in ppm, true distance in output samples, one for each captured block.
    `blocks` and `bursts` of (capture, output): samples of a callback, and callbacks that come at once. On top of that
    each is late by `jitter_ms` on average, distributed exponentially.
    """
    corrector = Corrector(rate_in, OUTPUT_RATE)
    log = np.zeros((int(seconds * rate_in / blocks[0]), 3))
    drift = drift_ppm * 1e-6
    samples = 0 if hertz is None else len(log) * blocks[0]
    wave = np.sin(2 * np.pi * (hertz or 0.0) * np.arange(samples) / (rate_in * (1 + drift))).astype(np.float32)
    heard = np.zeros((2, corrector.max_output(samples) if samples else 0), np.float32)
    count = _run(
        corrector.control, new_clock(), new_clock(), drift, blocks, bursts, jitter_ms / 1000 * OUTPUT_RATE, seed, log,
        np.stack([wave, wave]), heard,
    )  # fmt: skip
    log[:, 1] *= 1e6
    return log, heard[:, :count]
