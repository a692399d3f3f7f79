"""The output of a player in the browsers that listen: a thread calls the compiled callback at the pace of the clock.

The blocks go to every listener. While there is none the play head stands still, as on a device that is not open.
"""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import mix_block
from rtsep.shared.state import SharedState
from rtsep.timebase import SAMPLE_RATE

BLOCK = 1024
KEPT_BLOCKS = 86
"""Two seconds for a listener that reads slowly; then its oldest blocks are dropped."""
LATEST_S = 0.25
"""A pace that is further behind, because the machine was suspended, starts anew."""
END_LIMIT_S = 2.0


class Listener:
    """One browser. `blocks` has what it has not got yet, float32 bytes with left and right in turn."""

    def __init__(self) -> None:
        self.blocks: asyncio.Queue[bytes] = asyncio.Queue(KEPT_BLOCKS)
        self._loop = asyncio.get_running_loop()

    def offer(self, block: bytes) -> None:
        """Called from the thread of the clock."""
        self._loop.call_soon_threadsafe(self._put, block)

    def _put(self, block: bytes) -> None:
        if self.blocks.full():
            self.blocks.get_nowait()
        self.blocks.put_nowait(block)


class Listeners:
    """Who listens now. Any thread may change or read it."""

    def __init__(self) -> None:
        self.all: frozenset[Listener] = frozenset()
        self._lock = threading.Lock()

    def add(self, listener: Listener) -> None:
        with self._lock:
            self.all |= {listener}

    def remove(self, listener: Listener) -> None:
        with self._lock:
            self.all -= {listener}


class BrowserStream:
    """Plays a shared state to listeners; see `rtsep.player.stream_protocols.PlaybackStream`."""

    def __init__(self, shared: SharedState, listeners: Listeners) -> None:
        self._control = CallbackControl(shared)
        self._listeners = listeners
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtsep-browser-output", daemon=True)

    @property
    def latency_s(self) -> float:
        """Of this side alone, half a block; the page measures its own."""
        return BLOCK / SAMPLE_RATE / 2

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> bool:
        """End it; True when it has ended."""
        self._ending.set()
        self._thread.join(END_LIMIT_S)
        return not self._thread.is_alive()

    def close(self) -> bool:
        self._control.disable()
        return self.stop()

    def _run(self) -> None:
        output = np.zeros((BLOCK, 2), np.float32)
        due = time.monotonic()
        while not self._ending.is_set():
            listeners = self._listeners.all
            if listeners:
                mix_block(self._control.fields, output, BLOCK)
                block = output.tobytes()
                for listener in listeners:
                    listener.offer(block)
            due += BLOCK / SAMPLE_RATE
            now = time.monotonic()
            if now - due > LATEST_S:
                due = now
            self._ending.wait(max(0.0, due - now))
