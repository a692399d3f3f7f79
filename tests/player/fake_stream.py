"""A device without hardware: a thread that asks the compiled callback for blocks at a steady pace and keeps
them."""

from __future__ import annotations

import threading
import time

import numpy as np

from rtsep.audio.callback import mix_block
from rtsep.audio.callback_control import CallbackControl
from rtsep.dsp.deck import Deck
from rtsep.dsp.words import Kind

RATE = 44100


class FakeStream:
    """Fits `Player(open_stream=...)`. `speed` 4 plays four times as fast as the song.

    Attributes:
        kinds: what each block was; `positions`: where the play head stood after it.
    """

    latency_s = 0.0

    def __init__(self, deck: Deck, block: int = 512, speed: float = 1.0) -> None:
        self.deck, self.block = deck, block
        self._pause_s = block / RATE / speed
        self._control = CallbackControl(deck)
        self._pieces: list[np.ndarray] = []
        self.kinds: list[Kind] = []
        self.positions: list[int] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> bool:
        self._ending.set()
        self._thread.join()
        return True

    def close(self) -> bool:
        return self.stop()

    @property
    def heard(self) -> np.ndarray:
        """All output so far, (2, n)."""
        return np.concatenate([piece.T for piece in list(self._pieces)] or [np.zeros((2, 0), np.float32)], axis=1)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ending.is_set():
            output = np.zeros((self.block, 2), np.float32)
            mix_block(self._control.words, output, self.block)
            head = self.deck.callback.read()
            self._pieces.append(output)
            self.kinds.append(head.kind)
            self.positions.append(head.position)
            due += self._pause_s
            time.sleep(max(0.0, due - time.monotonic()))
