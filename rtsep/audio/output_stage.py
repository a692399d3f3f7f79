"""The last stage of the audio callback: to the device's rate, limited, interleaved.

A device that runs at the engine's rate gets every sample as it was mixed. Any other one gets the clock corrector with
its ratio fixed: the output device is the master clock, so there is nothing to follow. The limiter comes last, because
between samples a signal may be louder than at any of them.
"""

import numpy as np
from numba import types

from rtsep.dsp.atomics import int64_at
from rtsep.dsp.compiled import FLOAT32_ROWS, kernel
from rtsep.dsp.corrector import CORRECTOR_WORDS, correct, needed

KNEE = np.float32(10 ** (-1.0 / 20))  # the limiter leaves everything below alone
CEILING = np.float32(10 ** (-0.3 / 20))  # nothing gets louder


@kernel(types.float32(types.float32))
def limit(value):
    """Soft limiter without memory: a hyperbola of slope 1 at KNEE that approaches CEILING; NaN becomes silence."""
    if value != value:
        return np.float32(0.0)
    size = abs(value)
    if size <= KNEE:
        return value
    room = CEILING - KNEE
    limited = CEILING - room * room / (size - KNEE + room)
    return limited if value > 0 else -limited


@kernel(types.int64(types.int64, types.int64))
def to_mix(corrector, n):
    """Return how many samples must be mixed for the next `n` of the device. `corrector`: address of one, 0 for none."""
    if corrector == 0:
        return n
    return needed(int64_at(corrector, CORRECTOR_WORDS), n)


@kernel(types.int64(types.int64, FLOAT32_ROWS, types.int64, FLOAT32_ROWS, FLOAT32_ROWS, types.int64, types.int64))
def put_out(corrector, mixed, taken, resampled, output, offset, n):
    """Put `taken` samples of `mixed` (2, room) into `n` frames of `output` (frames, channels), from `offset` on.

    `resampled` (2, room) is for the corrector's use. Returns how many samples were limited hard.
    """
    signal = mixed
    if corrector != 0:
        correct(int64_at(corrector, CORRECTOR_WORDS), mixed[:, :taken], resampled[:, :n])
        signal = resampled
    clipped = 0
    channels = output.shape[1]
    for i in range(n):
        left, right = signal[0, i], signal[1, i]
        if abs(left) > CEILING:
            clipped += 1
        if abs(right) > CEILING:
            clipped += 1
        left, right = limit(left), limit(right)
        if channels == 1:
            output[offset + i, 0] = np.float32(0.5) * (left + right)
        else:
            output[offset + i, 0] = left
            output[offset + i, 1] = right
            for c in range(2, channels):
                output[offset + i, c] = np.float32(0.0)
    return clipped
