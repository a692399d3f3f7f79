"""Stems made before they are heard: for networks that want more of a song than a player can look ahead, and for those
that are too slow here.

A process of its own separates the queue from the first song on, at its own pace, into a store; a feeder brings the
stems from there to the ring. Nobody has to wait until all is done: a song can begin as soon as what is left of it will
be ready in time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from rtsep.engine.live_engine import EngineStats
from rtsep.errors import RtsepError
from rtsep.player.ahead.stem_feeder import StemFeeder
from rtsep.player.ahead.stem_store import StemStore
from rtsep.player.queue.source import FileSource
from rtsep.player.queue.timeline import Place
from rtsep.separation.backends.stepper import check_compute
from rtsep.separation.options import find_playable
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.system.spawn import ChildProcess
from rtsep.timebase import HOP, RESERVE_S, SAMPLE_RATE

CAUTION = 1.1
"""What is still to be computed is taken to last so much longer than what was: a machine has other things to do too."""
LEAST_LEAD = 2 * SAMPLE_RATE
"""Samples that are there in any case before a song begins."""
LOOK_S = 0.05
MISSING = "the sound goes on as it is where it is not separated yet"


@dataclass(frozen=True)
class Waiting:
    """Why a song does not begin yet.

    Attributes:
        share: of the song that is separated, 0 to 1; None while its length is not known.
        left_s: seconds until it can begin, at the pace of now; None while there is none.
    """

    share: float | None
    left_s: float | None


class AheadEngine:
    """A `StemEngine` that separates files before they are played. `close` leaves nothing behind.

    Args:
        songs: files in the order in which they are separated.
        model: name or folder of a bundle, None for the default.
        compute: auto, cpu, cuda or cuda:N, for the process that separates.

    Raises RtsepError or UsageError for a model or option that is not there or cannot be played.
    """

    chunk = None
    device_error = None
    lookahead_frames = 0
    reserve_s = RESERVE_S["standard"]

    def __init__(self, songs: Sequence[Path | str], model: Path | str | None = None, compute: str = "auto") -> None:
        bundle = find_playable(model)
        self.model_name = bundle.name
        self.stems = tuple(bundle.recipe.stems)
        self.compute = check_compute(compute)
        self.support = bundle.recipe.stft.n_fft
        layout = SharedLayout(stems=self.stems)
        self.shared = SharedState.create(layout)
        self._store = StemStore(layout.stem_rows, len(songs))
        self._feeder: StemFeeder | None = None
        self._ready = threading.Event()
        self._failure: str | None = None
        self._errors: tuple[str, ...] = ()
        self._closing = False
        # Of the song that is being separated: when it was begun, how much came when last.
        self._began_s = self._last_s = 0.0
        self._block = 0
        self._samples_per_s = 0.0
        config = {
            "model": str(Path(bundle.path).resolve()),
            "compute": compute,
            "songs": [str(Path(song).absolute()) for song in songs],
        }
        try:
            self._process = ChildProcess("rtsep.player.ahead.worker", config)
        except RtsepError:
            self._release()
            raise
        self._listener = threading.Thread(target=self._listen, name="rtsep-ahead", daemon=True)
        self._listener.start()

    def follow(self, source: FileSource) -> None:
        """Feed the stem ring with what `source`, which plays the same songs, is about to play. Call it once."""
        self._feeder = StemFeeder(self.shared, source, self._store)
        self._feeder.start()

    def wait_ready(self, limit_s: float) -> None:
        """Wait until the network is loaded. RtsepError with its own words if it cannot be, or takes too long."""
        deadline = time.monotonic() + limit_s
        while not self._ready.wait(LOOK_S):
            self.poll()
            if time.monotonic() > deadline:
                raise RtsepError(f"the process that separates ahead was not ready after {limit_s:.0f} s")
        self.poll()

    def wait_enough(
        self, where: Callable[[], tuple[Place, int | None]], tell_waiting: Callable[[Waiting], None]
    ) -> None:
        """Wait until the rest of a song will be ready in time, `tell_waiting` meanwhile. RtsepError as `poll`.

        `where`: the place to start at, and the samples of its song, None while they are unknown.
        """
        while (waiting := self.waiting(*where())) is not None:
            tell_waiting(waiting)
            self.poll()
            time.sleep(LOOK_S)

    def waiting(self, place: Place, length: int | None) -> Waiting | None:
        """None if the song may begin at `place`, and will not have to stop; see `wait_enough`.

        Stems come in blocks of b samples at s a second. So the next must be there before the last one has been heard,
        and the last block of the song when the one before it has been.
        """
        done = self._store.count(place.track)
        if self._store.complete(place.track):
            return None
        speed = self._samples_per_s / CAUTION
        if length is None or speed == 0:
            return Waiting(None if length is None else min(done / max(length, 1), 1.0), None)
        next_needs = place.sample + self._block * SAMPLE_RATE / speed
        all_need = length - (length - self._block - place.sample) * speed / SAMPLE_RATE
        needed = min(max(place.sample + LEAST_LEAD, next_needs, all_need), length)
        if done >= needed:
            return None
        return Waiting(min(done / length, 1.0), (needed - done) / speed)

    def poll(self) -> int:
        """0 restarts. RtsepError if nothing more will be separated though it should."""
        if self.failure is not None:
            raise RtsepError(self.failure)
        return 0

    @property
    def failure(self) -> str | None:
        """Why nothing more will be separated, in one line; None while all is well."""
        return self._failure or (self._feeder.failure if self._feeder is not None else None)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know, one line each."""
        missing = self._feeder is not None and self._feeder.missing and self.shared.transport.playing
        return (*self._errors, MISSING) if missing else self._errors

    def stats(self) -> EngineStats:
        """The counters of now; times are means."""
        hop_ms = 1000 * HOP / self._samples_per_s if self._samples_per_s else 0.0
        published = 0 if self._feeder is None else self._feeder.published
        return EngineStats("ahead", 0, published // HOP, 0, 0, 0, hop_ms, hop_ms)

    def close(self) -> None:
        """End process and threads, and let go of the stems. Nobody may look at the shared state any more."""
        self._closing = True
        self._process.end()
        self._listener.join(timeout=5.0)
        if self._feeder is not None:
            self._feeder.close()
        self._process.close()
        self._release()

    def _release(self) -> None:
        self._store.close()
        self.shared.close()

    # -- the listener's thread -------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Take what the process gives until it ends."""
        try:
            self._take(self._process)
        except (OSError, ValueError) as error:
            if not self._closing:
                self._failure = f"what was separated cannot be kept: {getattr(error, 'strerror', None) or error}"
                self._process.kill()
        reason = self._process.wait()
        if not self._closing and reason is not None and self._failure is None:
            self._failure = f"the process that separates ahead died: {reason}"

    def _take(self, process: ChildProcess) -> None:
        for line in process.stdout:
            message: dict[str, Any] = json.loads(line)
            if "ready" in message:
                self.support = message["ready"]["latency_samples"]
                self._ready.set()
            elif "song" not in message:
                self._failure = message["error"]
            elif "samples" in message:
                self._keep(message["song"], message["samples"], process.stdout)
            elif message.get("complete"):
                self._errors += (message["error"],) if "error" in message else ()
                self._store.finish(message["song"])
            else:
                self._began_s = time.monotonic()

    def _keep(self, song: int, count: int, pipe: IO[bytes]) -> None:
        data = pipe.read(4 * count * self.shared.layout.stem_rows)
        if count == 0 or len(data) < 4 * count * self.shared.layout.stem_rows:
            return
        self._store.append(song, np.frombuffer(data, np.float32).reshape(count, -1))
        self._block = count
        self._samples_per_s = self._store.count(song) / (time.monotonic() - self._began_s)
