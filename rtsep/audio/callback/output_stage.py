"""The last stage of the audio callback: resample to the device's rate, limit, interleave.

At the engine's rate every sample is output as it was mixed. For any other rate the clock corrector resamples with a
fixed ratio: the output device is the master clock. The limiter comes last, because between samples a signal may be
louder than at any of them.
"""

import numpy as np
from numba import types

from rtsep.dsp.corrector import CORRECTOR_FIELDS, correct, input_needed
from rtsep.shared.atomics import int64_at
from rtsep.shared.compiled import FLOAT32_ROWS, INT64_LINE, kernel

KNEE = np.float32(10 ** (-1.0 / 20))  # the limiter changes nothing below
CEILING = np.float32(10 ** (-0.3 / 20))  # of the output


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
def samples_to_mix(corrector, n):
    """Return how many samples to mix for the next `n` of the device. `corrector`: its address, 0 for none."""
    if corrector == 0:
        return n
    return input_needed(int64_at(corrector, CORRECTOR_FIELDS), n)


_WRITE_OUTPUT = (FLOAT32_ROWS, types.int64, FLOAT32_ROWS, INT64_LINE, FLOAT32_ROWS, types.int64, types.int64)


@kernel(types.int64(types.int64, *_WRITE_OUTPUT))
def write_output(corrector, mixed, count, resampled, outlets, output, offset, n):
    """Write the next `n` frames of the device to `output` (frames, channels), from `offset` on.

    Their source is `count` samples of `mixed`, two rows for each pair of `outlets`, left and right channel; if both are
    one channel it gets the mean, and channels of no outlet get silence. `resampled` (same rows, room) is scratch memory
    of the corrector. Returns the number of samples above the ceiling.
    """
    signal = mixed
    if corrector != 0:
        correct(int64_at(corrector, CORRECTOR_FIELDS), mixed[:, :count], resampled[:, :n])
        signal = resampled
    channels = output.shape[1]
    if channels > 2:
        for i in range(n):
            for c in range(channels):
                output[offset + i, c] = np.float32(0.0)
    clipped = 0
    for row in range(0, mixed.shape[0], 2):
        left_channel, right_channel = outlets[row], outlets[row + 1]
        for i in range(n):
            left, right = signal[row, i], signal[row + 1, i]
            if abs(left) > CEILING:
                clipped += 1
            if abs(right) > CEILING:
                clipped += 1
            left, right = limit(left), limit(right)
            if left_channel == right_channel:
                left = right = np.float32(0.5) * (left + right)
            output[offset + i, left_channel] = left
            output[offset + i, right_channel] = right
    return clipped
