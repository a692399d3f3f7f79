"""A worker's loop body between two rings, in one process and in made-up time: the test decides when who runs."""

from __future__ import annotations

import numpy as np

from rtsep.audio.callback import mix_block
from rtsep.audio.callback_control import CallbackControl
from rtsep.dsp.deck import Deck, DeckLayout
from rtsep.dsp.grid import HOP
from rtsep.dsp.words import Kind, WorkerState
from rtsep.engine.compute import Stepper, choose_compute
from rtsep.engine.processor import Processor
from rtsep.engine.pump import Pump
from rtsep.engine.separator import Separator
from rtsep.nn.contract import StreamingNetwork

STEMS = ["vocals", "instrumental"]
SECOND = 44100


def noise(samples: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (2, samples)).astype(np.float32)


class Bench:
    """A deck whose source, worker and callback take turns as the test says."""

    def __init__(
        self, network: StreamingNetwork, chunk: int | None, song: np.ndarray, latency: str = "standard"
    ) -> None:
        layout = DeckLayout(stems=tuple(network.stems), mixture_capacity=2**20)
        self.deck = Deck(layout, bytearray(layout.nbytes))
        self.deck.initialise()
        self.network, self.chunk, self.song, self.latency = network, chunk, song, latency
        self.start_worker()
        self.control = CallbackControl(self.deck)
        self.output = np.zeros((8192, 2), np.float32)
        self.epoch = 0
        self.deck.transport.playing = True

    def start_worker(self) -> None:
        stepper = Stepper(self.network, choose_compute("cpu"), 32)
        self.pump = Pump(self.deck, Processor(stepper, self.latency), self.chunk)
        self.pump.calibrate()

    def start(self, target: int, past_hops: int = 195) -> None:
        """What source and transport do for a seek; the whole rest of the song is written at once."""
        self.epoch += 1
        start = target // HOP * HOP
        begin = start - past_hops * HOP
        ring = self.deck.mixture
        ring.restart(self.epoch, begin, start)
        ring.finish(self.song.shape[1])
        before = np.zeros((2, max(-begin, 0)), np.float32)
        after = np.zeros((2, 64 * HOP), np.float32)
        written = np.concatenate([before, self.song[:, max(begin, 0) :], after], axis=1)
        assert written.shape[1] <= ring.capacity
        ring.write(written)
        self.deck.transport.post(target, self.epoch, 0)

    def work(self, until: WorkerState = WorkerState.AHEAD, turns: int = 2000) -> None:
        """Let the worker turn until it has nothing left to do."""
        for _ in range(turns):
            pause_s = self.pump.turn()
            if pause_s > 0 and self.deck.worker.state in (until, WorkerState.ENDED):
                return
        raise AssertionError(f"not {until.name} after {turns} turns: {self.deck.worker.state}")

    def hear(self, frames: int) -> np.ndarray:
        """What the callback gives, (2, frames)."""
        output = self.output[:frames]
        mix_block(self.control.words, output, frames)
        return output.T.copy()

    def play(self, frames: int, block: int = 512, turns: int = 6) -> tuple[np.ndarray, list[Kind]]:
        """Callback and worker in turns."""
        pieces, kinds = [], []
        for _ in range(frames // block):
            pieces.append(self.hear(block))
            kinds.append(self.deck.callback.read().kind)
            for _ in range(turns):
                self.pump.turn()
        return np.concatenate(pieces, axis=1), kinds

    def stems(self, begin: int, end: int) -> np.ndarray:
        out = np.zeros((self.deck.stem.rows, end - begin), np.float32)
        assert self.deck.stem.read(begin, out, self.epoch)
        return out.reshape(-1, 2, end - begin)


def steps(bench: Bench, count: int) -> tuple[list[int], list[int]]:
    """The next steps of the worker: the hop that each begins with, and its frames."""
    begins, sizes = [], []
    while len(sizes) < count:
        before = bench.deck.worker.recent_times().size
        pause_s = bench.pump.turn()
        if bench.deck.worker.recent_times().size > before:
            sizes.append(bench.deck.worker.chunk)
            begins.append(bench.pump._next_in // HOP - sizes[-1])
        elif pause_s > 0 and bench.deck.worker.state == WorkerState.AHEAD:
            break
    return begins, sizes


def separated(network: StreamingNetwork, chunk: int, song: np.ndarray, latency: str = "standard") -> np.ndarray:
    """(S, 2, n), in process."""
    separator = Separator(Processor(Stepper(network, choose_compute("cpu"), chunk), latency), chunk)
    pieces = [separator.feed(song), separator.flush()]
    return np.stack([np.concatenate([piece[stem] for piece in pieces], axis=1) for stem in network.stems])
