"""Speed without key and key without speed: a phase vocoder with locked phases, and a resampler after it.

The stream is cut into overlapping windows that are put together again at another distance, which changes the speed and
not the key; resampling the result changes the key, and the speed back. A window's phases are turned by what keeps them
in step with the window before: how far each partial turns in a hop is measured between two windows exactly one hop
apart, so a steady tone keeps its frequency exactly. The bins around a spectral peak turn together, and so do all
channels, which keeps the sound of each partial and the stereo image.

    M. Puckette, "Phase-locked vocoder", 1995
    J. Laroche and M. Dolson, "Improved phase vocoder time-scale modification of audio", 1999

An onset would be smeared over the whole window. So windows before an onset end at it, the one in which it becomes the
middle begins with it, phases as they are, and those after it begin behind the attack: the attack is heard once, at its
place, sample for sample. (A. Röbel, "A new approach to transient processing in the phase vocoder", 2003, has the idea.)

Positions are those of the input stream, in samples. Not for live sound: it looks `LOOKAHEAD` ahead.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numba import types
from numpy.typing import NDArray

from rtsep.dsp.corrector import DELAY, Corrector, correct
from rtsep.dsp.fft import RealFFT
from rtsep.dsp.onsets import BLOCK, OnsetFinder
from rtsep.dsp.windows import hann_periodic
from rtsep.shared.compiled import FLOAT32_LINE, FLOAT32_VIEW, kernel
from rtsep.timebase import N_FFT

WINDOW = N_FFT
HALF = WINDOW // 2
HOP = WINDOW // 8
"""Of the windows as they are put together; as they are cut it is HOP times speed over pitch ratio."""
LARGEST_STEP = 4 * HOP
"""Samples of the input between two windows: at twice the speed and an octave down."""
LOOKAHEAD = WINDOW + HOP
"""Most samples of the input beyond the one that is heard at speed 1."""
ATTACK = 256
"""Samples from an onset on that are heard once."""
EDGE = 32
"""Samples over which a window that ends or begins at an onset is faded."""
CAPACITY = 1 << 15
"""Samples of the input that are kept."""
LEAST_WEIGHT = 0.25
"""Sum of the windows at a sample; where less is there the sound is softer."""
NEVER = 1 << 62

COMPLEX_ROWS = types.Array(types.complex64, 2, "C")


@kernel(types.void(FLOAT32_VIEW, types.int64, FLOAT32_LINE, types.int64, types.int64, FLOAT32_VIEW))
def _cut(history, first, window, begin, end, out):
    """Write to `out` the window over `history` from column `first` on, faded to nothing outside [begin, end)."""
    for i in range(window.shape[0]):
        inside = min(first + i - begin + 1, end - first - i)
        weight = window[i] * np.float32(min(max(inside, 0), EDGE)) * np.float32(1.0 / EDGE)
        for c in range(history.shape[0]):
            out[c, i] = history[c, first + i] * weight


@kernel(types.void(COMPLEX_ROWS, COMPLEX_ROWS, COMPLEX_ROWS, types.int64, types.int64, types.int64))
def _turn(now, back, heard, peak, begin, end):
    """Turn bins [begin, end) of `now` by what `heard` was turned at the `peak`, and write them to `heard`."""
    real = imaginary = np.float32(0.0)
    for c in range(now.shape[0]):
        before, at = heard[c, peak], back[c, peak]
        real += before.real * at.real + before.imag * at.imag
        imaginary += before.imag * at.real - before.real * at.imag
    size = np.sqrt(real * real + imaginary * imaginary)
    if size > np.float32(1e-20):
        real /= size
        imaginary /= size
    else:
        real, imaginary = np.float32(1.0), np.float32(0.0)
    for c in range(now.shape[0]):
        for k in range(begin, end):
            value = now[c, k]
            heard[c, k] = np.complex64(
                complex(value.real * real - value.imag * imaginary, value.real * imaginary + value.imag * real)
            )


@kernel(types.void(COMPLEX_ROWS, COMPLEX_ROWS, COMPLEX_ROWS, FLOAT32_LINE))
def _lock(now, back, heard, power):
    """Replace `heard`, the last spectrum put out, by `now` with its phases carried on; `back`: one hop before `now`."""
    bins = now.shape[1]
    for k in range(bins):
        total = np.float32(0.0)
        for c in range(now.shape[0]):
            total += now[c, k].real * now[c, k].real + now[c, k].imag * now[c, k].imag
        power[k] = total
    peak, begin = -1, 0
    for k in range(2, bins - 2):
        if (
            power[k] > power[k - 1]
            and power[k] > power[k - 2]
            and power[k] >= power[k + 1]
            and power[k] >= power[k + 2]
        ):
            if peak >= 0:
                valley = peak
                for j in range(peak, k):
                    if power[j] < power[valley]:
                        valley = j
                _turn(now, back, heard, peak, begin, valley)
                begin = valley
            peak = k
    _turn(now, back, heard, max(peak, 0), begin, bins)


@kernel(types.void(FLOAT32_VIEW, FLOAT32_LINE, types.int64, types.int64, types.int64, FLOAT32_VIEW, FLOAT32_LINE))
def _add(frame, window, first, begin, end, pending, weights):
    """Add a windowed frame to `pending`, and the weight that the two windows gave it; see `_cut` for the rest."""
    for i in range(window.shape[0]):
        inside = min(first + i - begin + 1, end - first - i)
        weight = window[i] * np.float32(min(max(inside, 0), EDGE)) * np.float32(1.0 / EDGE)
        weights[i] += weight * weight
        for c in range(frame.shape[0]):
            pending[c, i] += frame[c, i] * weight


@kernel(types.void(FLOAT32_VIEW, FLOAT32_LINE, FLOAT32_VIEW))
def _take(pending, weights, out):
    """Move the first samples to `out`, divided by their weights, and the rest to the front."""
    count, length = out.shape[1], pending.shape[1]
    for c in range(pending.shape[0]):
        for i in range(count):
            out[c, i] = pending[c, i] / max(weights[i], np.float32(LEAST_WEIGHT))
        for i in range(length - count):
            pending[c, i] = pending[c, i + count]
        for i in range(length - count, length):
            pending[c, i] = np.float32(0.0)
    for i in range(length - count):
        weights[i] = weights[i + count]
    for i in range(length - count, length):
        weights[i] = np.float32(0.0)


def pitch_ratio(key: float) -> float:
    """Return the factor of all frequencies for a key in semitones."""
    return 2.0 ** (key / 12.0)


class Stretch:
    """A stream of `channels` rows at another speed and in another key. One thread uses it.

    `feed` it while `missing` is above 0, then `step`. Set `speed` and `key` at any time; the next step has them.

    Attributes:
        speed: 0.25 to 2; 2 is twice as fast.
        key: in semitones, -12 to 12, with cents as fractions.
    """

    def __init__(self, channels: int = 2) -> None:
        self.speed, self.key = 1.0, 0.0
        self._window = hann_periodic(WINDOW)
        self._now, self._back, self._heard = (RealFFT(channels, WINDOW) for _ in range(3))
        self._phases = np.zeros_like(self._now.spectrum)
        self._power = np.zeros(self._phases.shape[1], np.float32)
        self._history = np.zeros((channels, CAPACITY), np.float32)
        self._pending = np.zeros((channels, WINDOW), np.float32)
        self._weights = np.zeros(WINDOW, np.float32)
        self._segment = np.zeros((channels, HOP), np.float32)
        self._out = np.zeros((channels, 2 * HOP + 8), np.float32)
        self._onset_finder = OnsetFinder(channels)
        self._ratio = 1.0
        self._corrector = Corrector(1.0, 1.0)
        self.reset(0, 0)

    def reset(self, begin: int, heard: int) -> None:
        """Start anew: the next sample fed is at position `begin`, the first one heard is at `heard`, not before it."""
        for array in (self._history, self._pending, self._weights, self._phases):
            array[:] = 0.0
        self._onset_finder.reset()
        self._onsets: deque[int] = deque()
        self._last_onset, self._last_onset_place = -NEVER, 0.0
        self._corrector = Corrector(self._ratio, 1.0)
        self._begin = begin - HALF - HOP - 2 * LARGEST_STEP  # position of the first column, silence before `begin`
        self._end = begin
        self._heard_from = heard
        # The window that is cut next; its middle is put at sample hop * HOP. One more than needed fills the resampler.
        self._hop = -HALF // HOP - 1
        self._centre = max(heard + self._hop * HOP * self._advance, float(begin - 2 * LARGEST_STEP))
        self._slope = (heard - self._centre) / (-self._hop * HOP)  # so that sample 0 is `heard` in any case
        self._centres: deque[float] = deque([self._centre], maxlen=HALF // HOP + 4)
        self._first = True

    @property
    def _advance(self) -> float:
        """Samples of the input for one that is put together."""
        return self.speed / pitch_ratio(self.key)

    @property
    def preroll(self) -> int:
        """Samples before the one that is heard first that its windows cover."""
        return round((HALF + HOP) * self._advance) + HALF + HOP

    @property
    def missing(self) -> int:
        """How many samples have to be fed before the next step; 0 or less: none."""
        return int(self._centre) + HALF + HOP + 2 - self._end

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Append `samples` float32 (channels, n), n a multiple of 64 and at most 8192."""
        count = samples.shape[1]
        if count % BLOCK or count > CAPACITY // 4:
            raise ValueError(f"expected a multiple of {BLOCK} samples, at most {CAPACITY // 4}, got {count}")
        column = self._end - self._begin
        if column + count > CAPACITY:
            surplus = int(self._centre) - HALF - HOP - LARGEST_STEP - self._begin
            self._history[:, : column - surplus] = self._history[:, surplus:column].copy()
            self._begin += surplus
            column -= surplus
        self._history[:, column : column + count] = samples
        self._onsets.extend(self._onset_finder.find(samples, self._end))
        self._end += count

    def step(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the next samples (channels, n), some 256 to 1024, and the position of the input that each comes from.

        Both are empty in the first steps. They are valid until the next step.
        """
        self._put_window()
        self._centres.append(self._centre)
        self._hop += 1
        _take(self._pending, self._weights, self._segment)
        start = (self._hop - 1) * HOP - HALF  # of the segment, in samples put together
        if start < -HOP:
            return self._out[:, :0], np.empty(0)
        if (ratio := pitch_ratio(self.key)) != self._ratio:
            self._ratio = ratio
            self._corrector.retune(ratio, 1.0)
        place, advance = self._corrector.next_place
        made = correct(self._corrector.control, self._segment, self._out)
        at = start + place - DELAY + advance * np.arange(made)
        first = self._hop - (len(self._centres) - 1)
        places = np.interp(at, HOP * np.arange(first, self._hop + 1), self._centres)
        early = int(np.searchsorted(places, self._heard_from))
        return self._out[:, early:made], places[early:]

    def _put_window(self) -> None:
        """Cut the next window, turn its phases, add it to what is put together, and move on."""
        centre, advance = self._centre, self._advance
        self._centre = centre + HOP * (advance if self._hop >= 0 else self._slope)
        begin, end, at, fresh = -NEVER, NEVER, centre, self._first
        self._first = False
        if abs(advance - 1.0) > 1e-9:
            begin, end, at, is_onset = self._bounds(centre, advance)
            fresh = fresh or is_onset
        first = round(at) - HALF
        begin, end = max(begin - first, -NEVER), min(end - first, NEVER)
        column = first - self._begin
        _cut(self._history, column, self._window, column + begin, column + end, self._now.time)
        self._now.forward()
        if fresh:
            np.copyto(self._phases, self._now.spectrum)
        else:
            _cut(self._history, column - HOP, self._window, column + begin, column + end, self._back.time)
            self._back.forward()
            _lock(self._now.spectrum, self._back.spectrum, self._phases, self._power)
        np.copyto(self._heard.spectrum, self._phases)
        self._heard.inverse()
        _add(self._heard.time, self._window, 0, begin, end, self._pending, self._weights)

    def _bounds(self, centre: float, advance: float) -> tuple[int, int, float, bool]:
        """First and last position of the window at `centre`, where to cut it, and whether it is the one of an onset."""
        onset = None
        while self._onsets and self._onsets[0] <= centre:
            onset = self._onsets.popleft()
        if onset is not None:
            # The onset goes where it belongs to the sample, so this window is cut a little before or after.
            self._last_onset = onset
            self._last_onset_place = self._hop * HOP + (onset - centre) / advance
            begin, at = onset - EDGE // 2, onset + (centre - onset) / advance
        else:
            # Also where they are put, windows after an attack begin behind it.
            behind = centre + self._last_onset_place - self._hop * HOP
            begin, at = ATTACK + max(self._last_onset, round(behind)), centre
        end = NEVER
        if self._onsets:
            end = min(self._onsets[0], round(centre + (self._onsets[0] - centre) / advance))
        return (-NEVER if self._last_onset == -NEVER else begin), end, at, onset is not None
