"""Devices without hardware: a thread that calls at a steady pace for blocks, and one that keeps them."""

from __future__ import annotations

import threading
import time

import numpy as np

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import mix_block
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind

RATE = 44100


class PacedStream:
    """Fits `Player(open_stream=...)`; a subclass says what `_exchange` does. `speed` 4: four times that of the song."""

    latency_s = 0.0

    def __init__(self, shared: SharedState, block: int, speed: float = 1.0) -> None:
        self.shared, self.block = shared, block
        self.output = CallbackControl(shared)
        self._pause_s = block / RATE / speed
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> bool:
        self._ending.set()
        self._thread.join()
        return True

    close = stop

    def mix(self) -> np.ndarray:
        """The callback's next block, (block, 2)."""
        output = np.zeros((self.block, 2), np.float32)
        mix_block(self.output.fields, output, self.block)
        return output

    def _exchange(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        due = time.perf_counter()
        while not self._ending.is_set():
            self._exchange()
            due += self._pause_s
            time.sleep(max(0.0, due - time.perf_counter()))


class FakeStream(PacedStream):
    """Keeps what it is given.

    Attributes:
        kinds: what each block was; `positions`: where the play head stood after it.
    """

    def __init__(self, shared: SharedState, block: int = 512, speed: float = 1.0) -> None:
        super().__init__(shared, block, speed)
        self._pieces: list[np.ndarray] = []
        self.kinds: list[Kind] = []
        self.positions: list[int] = []

    @property
    def heard(self) -> np.ndarray:
        """All output so far, (2, n)."""
        return np.concatenate([piece.T for piece in list(self._pieces)] or [np.zeros((2, 0), np.float32)], axis=1)

    def _exchange(self) -> None:
        self._pieces.append(self.mix())
        head = self.shared.callback.read()
        self.kinds.append(head.kind)
        self.positions.append(head.position)
