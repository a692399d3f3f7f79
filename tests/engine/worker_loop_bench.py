"""A worker's loop body between two rings, in one process and in made-up time: the test decides when who runs."""

from __future__ import annotations

import numpy as np

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import mix_block
from rtsep.engine.worker_loop import WorkerLoop
from rtsep.nn.contract import StreamingNetwork
from rtsep.nn.frame_transformer import FrameTransformer
from rtsep.separation.backends.frame_transformer import CompiledStepper
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from rtsep.separation.backends.stepper import FrameStepper
from rtsep.separation.processor import Processor
from rtsep.separation.stream_separator import StreamSeparator
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import Kind, WorkerState
from rtsep.timebase import HOP

STEMS = ["vocals", "instrumental"]
SECOND = 44100


def noise(samples: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (2, samples)).astype(np.float32)


def stepper_of(network: StreamingNetwork, max_chunk: int = 32) -> FrameStepper:
    """What a worker on the CPU steps a network with: our own network in machine code, others with PyTorch."""
    if isinstance(network, FrameTransformer):
        weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        return CompiledStepper(weights, network.stems, max_chunk)
    return TorchStepper(network, choose_compute("cpu"), max_chunk)


class Bench:
    """A shared state whose source, worker and callback take turns as the test says."""

    def __init__(
        self, network: StreamingNetwork, chunk: int | None, song: np.ndarray, latency: str = "standard"
    ) -> None:
        layout = SharedLayout(stems=tuple(network.stems), mixture_capacity=2**20)
        self.shared = SharedState(layout, bytearray(layout.nbytes))
        self.shared.initialise()
        self.network, self.chunk, self.song, self.latency = network, chunk, song, latency
        self.start_worker()
        self.control = CallbackControl(self.shared)
        self.output = np.zeros((8192, 2), np.float32)
        self.epoch = 0
        self.shared.transport.playing = True

    def start_worker(self) -> None:
        processor = Processor(stepper_of(self.network), self.latency)
        self.worker_loop = WorkerLoop(self.shared, processor, self.chunk)
        self.worker_loop.calibrate()

    def start(self, target: int, past_hops: int = 195) -> None:
        """What source and transport do for a seek; the whole rest of the song is written at once."""
        self.epoch += 1
        start = target // HOP * HOP
        begin = start - past_hops * HOP
        ring = self.shared.mixture
        ring.restart(self.epoch, begin, start)
        ring.finish(self.song.shape[1])
        before = np.zeros((2, max(-begin, 0)), np.float32)
        after = np.zeros((2, 64 * HOP), np.float32)
        written = np.concatenate([before, self.song[:, max(begin, 0) :], after], axis=1)
        assert written.shape[1] <= ring.capacity
        ring.write(written)
        self.shared.transport.post(target, self.epoch, 0)

    def work(self, until: WorkerState = WorkerState.AHEAD, turns: int = 2000) -> None:
        """Let the worker turn until it has nothing left to do."""
        for _ in range(turns):
            pause_s = self.worker_loop.turn()
            if pause_s > 0 and self.shared.worker.state in (until, WorkerState.ENDED):
                return
        raise AssertionError(f"not {until.name} after {turns} turns: {self.shared.worker.state}")

    def hear(self, frames: int) -> np.ndarray:
        """What the callback gives, (2, frames)."""
        output = self.output[:frames]
        mix_block(self.control.fields, output, frames)
        return output.T.copy()

    def play(self, frames: int, block: int = 512, turns: int = 6) -> tuple[np.ndarray, list[Kind]]:
        """Callback and worker in turns."""
        pieces, kinds = [], []
        for _ in range(frames // block):
            pieces.append(self.hear(block))
            kinds.append(self.shared.callback.read().kind)
            for _ in range(turns):
                self.worker_loop.turn()
        return np.concatenate(pieces, axis=1), kinds

    def stems(self, begin: int, end: int) -> np.ndarray:
        out = np.zeros((self.shared.stem.rows, end - begin), np.float32)
        assert self.shared.stem.read(begin, out, self.epoch)
        return out.reshape(-1, 2, end - begin)


def steps(bench: Bench, count: int) -> tuple[list[int], list[int]]:
    """The next steps of the worker: the hop that each begins with, and its frames."""
    begins, sizes = [], []
    while len(sizes) < count:
        before = bench.shared.worker.recent_times().size
        pause_s = bench.worker_loop.turn()
        if bench.shared.worker.recent_times().size > before:
            sizes.append(bench.shared.worker.chunk)
            begins.append(bench.worker_loop._plan.next_hop - sizes[-1])
        elif pause_s > 0 and bench.shared.worker.state == WorkerState.AHEAD:
            break
    return begins, sizes


def separated(network: StreamingNetwork, chunk: int, song: np.ndarray, latency: str = "standard") -> np.ndarray:
    """(S, 2, n), in process."""
    separator = StreamSeparator(Processor(stepper_of(network, chunk), latency), chunk)
    pieces = [separator.feed(song), separator.flush()]
    return np.stack([np.concatenate([piece[stem] for piece in pieces], axis=1) for stem in network.stems])
