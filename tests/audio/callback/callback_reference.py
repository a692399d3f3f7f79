"""What the compiled callback has to do, said a second time in NumPy and in another way.

The callback works block by block and keeps a tail. The reference decides the state of every block in plain Python
and then computes all samples of many blocks at once: the undisturbed signal as a function of time, and the
cross-fades as corrections laid over it. What a block border does to a fade or a ramp can thus not be the same
mistake in both.
"""

from dataclasses import dataclass, field

import numpy as np

FADE, RAMP = 64, 256
SILENT, WET, DRY, BYPASS, WAITING = range(5)
NO_EOF = 1 << 62
KNEE, CEILING = np.float32(10 ** (-1 / 20)), np.float32(10 ** (-0.3 / 20))

# Columns of a script, one row a block: what the world looks like when the block is asked for.
COLUMNS = (
    "n jump target epoch patience playing bypass gain_set mix_epoch mix_begin mix_end eof "
    "stem_epoch stem_begin stem_end"
).split()
COLUMN = {name: index for index, name in enumerate(COLUMNS)}


@dataclass
class Ramp:
    """A move of all gains (stems, then master) from sample `at` on."""

    at: int
    length: int
    start: np.ndarray
    step: np.ndarray
    target: np.ndarray

    def gains(self, time: int) -> np.ndarray:
        """All gains at one output time."""
        done = time - self.at + 1
        return self.start + self.step * np.float32(done) if done < self.length else self.target


@dataclass
class Block:
    """The state of one block as the reference decided it."""

    time: int = 0
    n: int = 0
    kind: int = SILENT
    position: int = 0
    there: int = 0
    ramp: int = 0


@dataclass
class Reference:
    """What is heard of rings "mixture" (2, capacity) and "stems" (2 S, capacity); capacity a power of two.

    `wet` are the numbers of the stems heard (None: all), `main` is whether the mixture is, dry and in bypass.
    """

    mixture: np.ndarray
    stems: np.ndarray
    resampler: "Resampler | None" = None
    wet: tuple[int, ...] | None = None
    main: bool = True
    time: int = 0
    epoch: int = -1
    position: int = 0
    patience: int = 0
    heard: bool = False
    gain_set: int = -1
    ramps: list[Ramp] = field(default_factory=list)
    last: Block = field(default_factory=Block)
    fade_time: int = -FADE
    fade_from: np.ndarray = field(default_factory=lambda: np.zeros((2, FADE), np.float32))
    counters: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            "blocks frames late_blocks dry_samples starved_samples clipped_samples wet_samples max_block "
            "bypass_samples".split(),
            0,
        )
    )

    def run(self, script: np.ndarray, gain_sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the output (frames, 2) and, for every block, position, epoch, kind and ended after it."""
        frames = script[:, 0].sum()
        if self.resampler is not None:
            script = script.copy()
            script[:, 0] = self.resampler.mixed(script[:, 0])
        blocks, jumps, log = self._decide(script, gain_sets)
        signal = self._render(blocks, jumps)
        if self.resampler is not None:
            signal = self.resampler.convert(signal, frames)
        self.counters["clipped_samples"] += int((np.abs(signal) > CEILING).sum())
        return limited(signal).T, log

    def _decide(self, script: np.ndarray, gain_sets: np.ndarray) -> tuple[list[Block], list[int], np.ndarray]:
        blocks, breaks, log = [], [], []
        self.ramps = self.ramps[-1:]
        if self.ramps:
            self.last.ramp = 0
        previous = self.last
        count = self.counters
        for row in script.tolist():
            (n, jump, target, epoch, patience, playing, bypass, gain_set, mix_epoch, mix_begin, mix_end, eof,
             stem_epoch, stem_begin, stem_end) = row  # fmt: skip
            if jump:
                self.epoch, self.position, self.patience, self.heard = epoch, target, patience, False
            if gain_set != self.gain_set:
                self._move_gains(gain_sets[gain_set], n)
                self.gain_set = gain_set
            eof = eof if mix_epoch == self.epoch else NO_EOF
            there = min(n + FADE, max(eof - self.position, 0))
            begin, end = self.position, self.position + there
            mix_there = mix_epoch == self.epoch and mix_begin <= begin and end <= mix_end
            stem_there = stem_epoch == self.epoch and stem_begin <= begin and end <= stem_end
            patient = not self.heard and self.patience > 0
            kind = SILENT
            if playing and self.epoch >= 0 and there > 0:
                if bypass:
                    kind = BYPASS if mix_there else SILENT
                elif stem_there:
                    kind = WET
                elif mix_there and not patient:
                    kind = DRY
                if kind == SILENT and patient:
                    kind = WAITING
                    self.patience -= n
                elif kind == SILENT:
                    count["starved_samples"] += n
            block = Block(self.time, n, kind, self.position, there, len(self.ramps) - 1)
            if jump or kind != previous.kind:
                breaks.append(len(blocks))
            blocks.append(block)
            if kind in (WET, DRY, BYPASS):
                self.heard = True
                played = min(n, there)
                self.position += played
                if kind == WET:
                    count["wet_samples"] += played
                if kind == BYPASS:
                    count["bypass_samples"] += played
                if kind == DRY:
                    count["dry_samples"] += played
                    count["late_blocks"] += 1
            ended = self.epoch >= 0 and self.position >= eof
            if ended:
                self.position = eof
            log.append((self.position, self.epoch, kind, int(ended)))
            count["blocks"] += 1
            count["frames"] += n
            count["max_block"] = max(count["max_block"], n)
            self.time += n
            previous = block
        return blocks, breaks, np.array(log)

    def _move_gains(self, target: np.ndarray, n: int) -> None:
        if self.ramps and (target == self.ramps[-1].target).all():
            return
        length = max(n, RAMP)
        if not self.ramps:
            self.ramps.append(Ramp(self.time, 0, target, np.zeros_like(target), target))
            return
        start = self.ramps[-1].gains(self.time - 1)
        self.ramps.append(Ramp(self.time, length, start, (target - start) / np.float32(length), target))

    def _gain(self, ramp: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Gains (stems + 1, ...) at many output times, each with the number of the ramp that counts there."""
        at = np.array([r.at for r in self.ramps])[ramp]
        length = np.array([r.length for r in self.ramps])[ramp]
        start = np.stack([r.start for r in self.ramps], 1)[:, ramp]
        step = np.stack([r.step for r in self.ramps], 1)[:, ramp]
        target = np.stack([r.target for r in self.ramps], 1)[:, ramp]
        done = time - at + 1
        moving = done < length
        return np.where(moving, start + step * np.where(moving, done, 0).astype(np.float32), target)

    def _signal(self, kind, position, there, ramp, time) -> np.ndarray:
        """The undisturbed signal (2, ...) for arrays that say the state at every sample."""
        gains = self._gain(ramp, time)
        column = position & (self.mixture.shape[1] - 1)
        wet = np.zeros((2, *np.shape(column)), np.float32)
        for s in range(self.stems.shape[0] // 2) if self.wet is None else self.wet:
            wet += gains[s] * self.stems[2 * s : 2 * s + 2][:, column]
        mixture = self.mixture[:, column] * np.float32(self.main)
        dry = gains[:-1].max(axis=0) * mixture
        heard = np.where(kind == WET, wet, np.where(kind == DRY, dry, np.where(kind == BYPASS, mixture, np.float32(0))))
        return np.where(there, heard, np.float32(0)) * gains[-1]

    def _render(self, blocks: list[Block], breaks: list[int]) -> np.ndarray:
        sizes = np.array([b.n for b in blocks])
        start = blocks[0].time
        time = np.arange(start, start + sizes.sum())

        def spread(values: list[int]) -> np.ndarray:
            return np.repeat(np.array(values), sizes)

        within = time - spread([b.time for b in blocks])
        signal = self._signal(
            spread([b.kind for b in blocks]),
            spread([b.position for b in blocks]) + within,
            within < spread([b.there for b in blocks]),
            spread([b.ramp for b in blocks]),
            time,
        )
        if breaks:
            self._lay_fades(signal, start, blocks, breaks)
        elif self.fade_time + FADE > start:
            self._blend(signal, start, start)
        self.last = blocks[-1]
        return signal

    def _lay_fades(self, signal: np.ndarray, start: int, blocks: list[Block], breaks: list[int]) -> None:
        before = [blocks[i - 1] if i else self.last for i in breaks]
        begins = [blocks[i].time for i in breaks]
        ahead = np.arange(FADE)[:, None]

        def column(values: list[int]) -> np.ndarray:
            return np.broadcast_to(np.array(values), (FADE, len(values)))

        # What would have been heard, had the block before each break gone on: (2, FADE, breaks).
        tails = self._signal(
            column([b.kind for b in before]),
            column([b.position + b.n for b in before]) + ahead,
            column([b.n for b in before]) + ahead < column([b.there for b in before]),
            column([b.ramp for b in before]),
            column(begins) + ahead,
        )
        if self.fade_time + FADE > start:
            self._blend(signal, start, start, begins[0])
        for i, begin in enumerate(begins):
            tail = tails[:, :, i].copy()
            done = begin - self.fade_time
            if done < FADE:  # the last fade is not over: it is a part of what would have been heard
                old = self.fade_from[:, done:]
                tail[:, : FADE - done] = old + (tail[:, : FADE - done] - old) * weights()[done:]
            self.fade_from, self.fade_time = tail, begin
            self._blend(signal, start, begin, begins[i + 1] if i + 1 < len(begins) else None)

    def _blend(self, signal: np.ndarray, start: int, begin: int, until: int | None = None) -> None:
        done = begin - self.fade_time
        stop = min(self.fade_time + FADE, start + signal.shape[1], until if until is not None else NO_EOF)
        if stop > begin:
            new = signal[:, begin - start : stop - start]
            old = self.fade_from[:, done : done + stop - begin]
            new[:] = old + (new - old) * weights()[done : done + stop - begin]


class Resampler:
    """The output stage of a device with another rate: every output sample is a sum over the whole windowed sinc."""

    TAPS, BETA, FRACTION = 48, 7.0, 2**40

    def __init__(self, rate: int) -> None:
        self.step = int(44100 / rate * self.FRACTION + 0.5)
        self.cutoff = min(1.0, rate / 44100)
        self.place = 0  # of the next output sample from the next mixed one on, in 1 / FRACTION
        self.before = np.zeros((2, self.TAPS), np.float32)

    def mixed(self, frames: np.ndarray) -> np.ndarray:
        """How many samples are mixed for each block of so many frames."""
        last = self.place + (np.cumsum(frames) - 1) * self.step
        return np.diff(last // self.FRACTION, prepend=-1)

    def convert(self, signal: np.ndarray, frames: int) -> np.ndarray:
        """Return (2, frames)."""
        known = np.concatenate([self.before, signal], axis=1).astype(np.float64)
        places = self.place + np.arange(frames) * self.step
        self.place += int(frames) * self.step - signal.shape[1] * self.FRACTION
        self.before = known[:, -self.TAPS :].astype(np.float32)
        out = np.empty((2, frames))
        for begin in range(0, frames, 10_000):
            whole, rest = np.divmod(places[begin : begin + 10_000], self.FRACTION)
            columns = whole[:, None] + np.arange(1, self.TAPS + 1)
            away = rest[:, None] / self.FRACTION + self.TAPS // 2 - np.arange(1, self.TAPS + 1)
            window = np.i0(self.BETA * np.sqrt(np.maximum(1 - (2 * away / self.TAPS) ** 2, 0)))
            taps = np.sinc(self.cutoff * away) * window
            taps /= taps.sum(axis=1, keepdims=True)
            out[:, begin : begin + 10_000] = np.einsum("ijk,jk->ij", known[:, columns], taps)
        return out.astype(np.float32)


def weights() -> np.ndarray:
    return np.arange(1, FADE + 1, dtype=np.float32) * np.float32(1.0 / (FADE + 1))


def limited(signal: np.ndarray) -> np.ndarray:
    size = np.abs(signal)
    room = CEILING - KNEE
    soft = CEILING - room * room / (np.maximum(size, KNEE) - KNEE + room)
    return np.where(size <= KNEE, signal, np.copysign(soft, signal))
