"""Detection of feedback loops that device names can't reveal: cables, other programs, a microphone near loudspeakers.

A tone that a loop sustains and a tone that a musician holds look the same at the input. So the guard listens first, and
tests before it acts:

1. *Suspicion.* The input repeats, no quieter, what it was a moment ago: a normalised correlation of 0.95, a gain of 0.9
   or more. Mixed music hardly ever does; held tones, drum machines and loops do. Two looks are enough where the sound
   grows, two seconds where its level is constant.
2. *Probe.* The output is lowered by 3 dB for 0.1 s. In a loop the input drops and recovers likewise, one loop later.
3. *Proof.* The output is muted. Only a loop falls silent; if the input continues, the output is restored at once.

All of it works on copies of what the mixture ring holds, outside the audio callback, and counts samples instead of
time: what is played at position p comes back at position p + T, where T is the length of the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.callback.playback import RAMP
from rtsep.shared.state import SharedState
from rtsep.timebase import SAMPLE_RATE

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

MIN_RMS = 0.01
"""Of full scale; what is quieter is left alone."""
DECIMATION = 2
WINDOW, CORRELATED = 3300, 16384
"""At half the rate: the last 0.15 s are looked for in a stretch of 0.74 s."""
SPAN = DECIMATION * (CORRELATED - WINDOW)
"""Samples, 0.59 s, by which a loop may be longer than the shortest possible one."""
SHORTEST_LAG = round(0.15 * SAMPLE_RATE)
"""Longer than a probe, so that the sound which the probe is compared with was not lowered itself."""
REPEATS, REPEATS_GAIN, GROWS_GAIN = 0.95, 0.9, 1.1
LIMITED_LOOKS, GROWING_LOOKS = 8, 2
"""Looks in a row at which it repeats and is limited, or grows."""
LIMITED = 0.9
STEADY = 2 * SAMPLE_RATE
"""Samples for which a sound of constant level must repeat itself. Doubled by each probe that finds no loop, unless the
output is limited."""
LOUDER = 1.4
"""A growing sound is probed again when it is louder by this factor."""
PROBE_GAIN = 0.7
DROP, DEEPEST = 0.76, 0.85
"""The input has followed the probe when its gain over the repeat fell below DROP, relative to before and after, but not
far below the gain of the probe."""
ALIKE = 0.7
"""Correlation below which the gain over the repeat says nothing. A sustained tone wanders: its loop isn't a whole
number of periods long, and sound servers resample a little to keep two devices together."""
LEVEL = 1.25
"""Factor between the gains before and after the probe: else it wasn't the probe alone that changed them."""
BRIEF = round(0.025 * SAMPLE_RATE)
STEP = 64
SILENCED, HEARD = 0.2, 0.5
"""Shares of the expected power: at most what may be left when the output is muted, sound that is not part of the loop;
and at least what there must have been until then."""
SILENCE = round(0.1 * SAMPLE_RATE)
"""Samples for which it must stay silent."""
MOST_GROWTH = 2.0
"""Gain from one repeat to the next that is expected to continue at the proof."""
TINY = 1e-9
PAUSE = SAMPLE_RATE
"""Samples of silence after which a sound is another one."""


class Repeat(NamedTuple):
    """A sound that repeats: `lag` in samples, `gain` from one to the next, `row` of the ring, and how loud it is."""

    lag: int
    gain: float
    row: int
    rms: float
    peak: float


def find_repeat(samples: Float32, shortest: int) -> Repeat | None:
    """Look for the end of `samples` (2, shortest + 2 * CORRELATED) at lags from `shortest` on; None if it isn't there.

    Only the louder channel counts, without its mean. Coarsely at half the rate, then at the lags around the best.
    """
    length = DECIMATION * WINDOW
    row = int(np.argmax(np.sum(samples[:, -length:] ** 2, axis=1)))
    sound = samples[row] - np.mean(samples[row, -length:])
    recent = sound[-length:]
    energy = float(np.sum(recent**2))
    rms = float(np.sqrt(energy / length))
    if rms < MIN_RMS:
        return None
    decimated = 0.5 * (sound[0::2] + sound[1::2])
    past = decimated[:CORRELATED]
    products = np.fft.irfft(np.fft.rfft(past) * np.conj(np.fft.rfft(decimated[-WINDOW:], CORRELATED)), CORRELATED)
    sums = np.concatenate([[0.0], np.cumsum(past.astype(np.float64) ** 2)])
    alike = np.abs(products[: CORRELATED - WINDOW + 1]) / np.sqrt(np.maximum(sums[WINDOW:] - sums[:-WINDOW], TINY))
    first = DECIMATION * int(np.argmax(alike))  # of the best repeat
    best = Repeat(0, 0.0, row, rms, float(np.max(np.abs(samples[row, -length:]))))
    likeness = REPEATS
    for begin in range(max(first - 1, 0), first + 2):
        before = sound[begin : begin + length]
        product, energy_before = abs(float(np.dot(before, recent))), max(float(np.sum(before**2)), TINY)  # may invert
        if product >= likeness * np.sqrt(energy * energy_before):
            likeness = product / np.sqrt(energy * energy_before)
            best = best._replace(lag=len(sound) - length - begin, gain=product / energy_before)
    return best if best.gain >= REPEATS_GAIN else None


class FeedbackGuard:
    """Watches live sound for a feedback loop. All by one thread.

    Args:
        shared: its mixture ring holds the input, and its callback plays.
        epoch: of the mixture ring.

    Attributes:
        gain: linear; the output has to be scaled with it after each look.
    """

    def __init__(self, shared: SharedState, epoch: int) -> None:
        self._shared = shared
        self._epoch = epoch
        self.reset()

    def reset(self) -> None:
        """Forget what was heard, as for another stream."""
        self.gain = 1.0
        self._step: Callable[[int, float], bool] = self._suspect
        self._repeat = Repeat(0, 0.0, 0, 0.0, 0.0)
        self._probe_gain = 1.0
        self._is_limited = False
        self._begin = self._release = self._loop = 0
        self._forget()

    def look(self, shortest: int, amplification: float) -> bool:
        """Look once, every 50 ms or so while sound is played; True when there is a loop for certain: stay muted.

        Args:
            shortest: samples between play head and end of the input; no loop is shorter.
            amplification: linear, the most by which anything is amplified between input and output.
        """
        return self._step(shortest, amplification)

    # -- the three steps ----------------------------------------------------------------------------------------

    def _suspect(self, shortest: int, amplification: float) -> bool:
        end = self._shared.mixture.end
        repeat = self._find(shortest, end)
        if repeat is None:
            return False
        grows = repeat.gain >= GROWS_GAIN
        self._is_limited = amplification * repeat.peak >= LIMITED
        if repeat.rms < LOUDER * self._cleared_rms or not (grows or self._is_limited):
            self._evidence = 0
        else:
            self._evidence += LIMITED_LOOKS // GROWING_LOOKS if grows else 1
        if self._evidence >= LIMITED_LOOKS or end - self._since >= self._patience:
            self._start_probe(repeat, amplification)
        return False

    def _start_probe(self, repeat: Repeat, amplification: float) -> None:
        self._repeat, self._begin, self._release = repeat, self._shared.callback.position, 0
        # 3 dB below what is heard now, however hard the limiter works.
        self.gain = self._probe_gain = PROBE_GAIN / max(1.0, amplification * repeat.peak)
        self._step = self._probe

    def _probe(self, shortest: int, amplification: float) -> bool:
        """Lower the output until enough sound has passed the play head, then look for the gap in the input."""
        head, end = self._shared.callback.read(), self._shared.mixture.end
        lowered = self._begin + self._settling
        if not self._release:
            played = self._read(lowered, head.position) if head.position - lowered >= BRIEF else None
            if played is not None and np.mean(played[self._repeat.row] ** 2) >= MIN_RMS**2:
                self._release, self.gain = head.position, 1.0
            elif end > self._begin + shortest + SPAN:
                self._clear(end)
            return False
        loop = self._followed(lowered, np.arange(shortest, shortest + SPAN, STEP), end)
        if loop is not None:
            self._loop = loop
            self._begin, self.gain = head.position, 0.0
            self._step = self._prove
            return False
        repeat = self._find(shortest, end)
        if repeat is not None and repeat.gain >= GROWS_GAIN and repeat.rms >= LOUDER * self._repeat.rms:
            self._start_probe(repeat, amplification)
        elif end > self._release + shortest + SPAN + self._settling + BRIEF:
            self._clear(end)
        return False

    def _followed(self, lowered: int, loops: Int64, end: int) -> int | None:
        """The length of the loop by which the input has followed the probe; None if it hasn't, or hasn't yet."""
        begin, release = self._begin, self._release
        restored = release + self._settling
        loops = loops[loops < end - restored - BRIEF]
        if not len(loops):
            return None
        gains = self._gains(begin + int(loops[0]) - BRIEF, end)
        probed = gains(lowered + loops, min(release, begin + self._repeat.lag) + loops)
        before = gains(begin - BRIEF + loops, begin + loops, self._repeat.gain)
        after = gains(restored + loops, restored + BRIEF + loops, self._repeat.gain)
        level = (before < LEVEL * after) & (after < LEVEL * before)  # a rise or a fall alone is the music's own
        ratios = np.where(level, probed / np.maximum(np.minimum(before, after), TINY), np.nan)
        ratios[~(ratios >= DEEPEST * self._probe_gain)] = np.inf  # deeper: a rest in the music
        best = int(np.argmin(ratios))
        return int(loops[best]) if ratios[best] < DROP else None

    def _prove(self, _: int, __: float) -> bool:
        """With the output muted, wait for what should have come back by now."""
        end = self._shared.mixture.end
        muted = self._begin + self._loop
        first = muted + self._settling + BRIEF
        if end < first + BRIEF:
            return False
        heard, expected = self._powers(first, end)
        expected *= min(self._repeat.gain, MOST_GROWTH) ** 2
        if max(expected, heard) < MIN_RMS**2 and end < muted + self._repeat.lag:
            return False  # between two beats
        before, expected_before = self._powers(muted - 3 * BRIEF, muted - 2 * BRIEF)
        fell = expected >= MIN_RMS**2 and heard < SILENCED * expected
        if not fell or before < HEARD * expected_before:
            self._clear(end)
        return fell and end >= first + SILENCE

    # -- how ----------------------------------------------------------------------------------------------------

    @property
    def _settling(self) -> int:
        """Samples until a gain is reached everywhere."""
        block = self._shared.callback.read().max_block
        return block + max(block, RAMP)

    def _find(self, shortest: int, end: int) -> Repeat | None:
        """The repeat there is now, and for how long there has been one."""
        shortest = max(shortest, SHORTEST_LAG) // DECIMATION * DECIMATION
        samples = self._read(end - shortest - DECIMATION * CORRELATED, end)
        if samples is None:
            return None
        if np.max(np.mean(samples[:, -DECIMATION * WINDOW :] ** 2, axis=1)) < MIN_RMS**2:
            if end - self._last > PAUSE:
                self._forget()
            return None
        repeat = find_repeat(samples, shortest)
        if repeat is None:
            self._forget()
        else:
            self._since, self._last = self._since or end, end
        return repeat

    def _forget(self) -> None:
        self._evidence = self._since = self._last = 0
        self._patience = STEADY
        self._cleared_rms = 0.0

    def _clear(self, end: int) -> None:
        """It was no loop."""
        self.gain = 1.0
        self._evidence = 0
        if self._is_limited:
            self._since = end
        else:
            self._patience = max(self._patience, 2 * (end - self._since))
        self._cleared_rms = self._repeat.rms
        self._step = self._suspect

    def _read(self, begin: int, end: int) -> Float32 | None:
        """The input from `begin` to `end`, (2, n); None where the ring doesn't hold it."""
        samples = np.empty((self._shared.mixture.rows, end - begin), np.float32)
        return samples if begin >= 0 and self._shared.mixture.read(begin, samples, self._epoch) else None

    def _powers(self, begin: int, end: int) -> tuple[float, float]:
        """The power of the input from `begin` to `end`, and of what it should repeat."""
        both = self._both(begin, end)
        return (0.0, 0.0) if both is None else (float(np.mean(both[1] ** 2)), float(np.mean(both[0] ** 2)))

    def _both(self, begin: int, end: int) -> tuple[Float32, Float32] | None:
        """The input from `begin` to `end`, and before it what it should repeat, (n,) each."""
        samples = self._read(begin - self._repeat.lag, end)
        if samples is None:
            return None
        row = samples[self._repeat.row]
        return row[: end - begin], row[self._repeat.lag :]

    def _gains(self, begin: int, end: int) -> Callable[..., NDArray[np.float64]]:
        """The gain over the repeat between any two positions in [begin, end).

        NaN where the input does something else; `quiet` where there is nothing to be repeated.
        """
        both = self._both(begin, end)
        if both is None:
            return lambda first, last, quiet=np.nan: np.full(np.shape(first), np.nan)
        past, now = (part.astype(np.float64) for part in both)
        sums = np.cumsum([past * now, past * past, now * now], axis=1)

        def between(first: Int64, last: Int64, quiet: float = np.nan) -> NDArray[np.float64]:
            products, past_energy, energy = sums[:, last - begin - 1] - sums[:, np.maximum(first - begin - 1, 0)]
            gain = np.sqrt(energy / np.maximum(past_energy, TINY))
            gain[np.abs(products) < ALIKE * np.sqrt(past_energy * energy)] = np.nan
            gain[past_energy < MIN_RMS**2 * (last - first)] = quiet
            return gain

        return between
