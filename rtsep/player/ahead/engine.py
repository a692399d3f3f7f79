"""The engine that separates songs before they are played: for networks that need more of a song than a player can look
ahead, and for those that are too slow for this machine.

A separate process works through the queue, from the first song on and at its own pace, and fills a store; a feeder
copies the stems from there to a ring. Where an instant network has the same stems, its worker plays at once, and
crosses over to the stored stems wherever they are ready ahead of the play head. Without one a song starts as soon as
the rest of it will be ready in time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from rtsep.engine.live_engine import Engine, EngineStats
from rtsep.errors import RtsepError
from rtsep.player.ahead.stem_feeder import StemFeeder
from rtsep.player.ahead.stem_store import StemStore
from rtsep.player.queue.source import FileSource
from rtsep.player.queue.timeline import Place
from rtsep.separation.backends.stepper import check_compute
from rtsep.separation.instant import stand_in
from rtsep.separation.options import check_mask_extension, find_playable
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.system.guarded_thread import guarded_thread
from rtsep.system.spawn import ChildProcess
from rtsep.timebase import HOP, RESERVE_S, SAMPLE_RATE

CAUTION = 1.1
"""The rest is expected to take this much longer than what is done: a machine has other things to do too."""
LEAST_LEAD = 2 * SAMPLE_RATE
"""Samples that must be ready before a song starts."""
LOOK_S = 0.05
MISSING = "not separated yet; playing the original mix"


@dataclass(frozen=True)
class Waiting:
    """How far the separation is while a song can't start yet.

    Attributes:
        share: of the song that is separated, 0 to 1; None while its length isn't known.
        left_s: seconds until it can start, at the current pace; None until one is known.
    """

    share: float | None
    left_s: float | None


class AheadEngine:
    """A `StemEngine` that separates files before they are played. `close` ends its process and frees all memory.

    Args:
        songs: files in the order in which they are separated.
        model: name or folder of a bundle, None for the default.
        compute: auto, cpu, cuda or cuda:N, for the process that separates.
        mask_extension: of Spleeter's networks, see `rtsep.load`; None is the recipe's.

    Raises RtsepError or UsageError for a model or option that doesn't exist or can't be played.
    """

    chunk = None
    device_error = None
    lookahead_frames = 0
    reserve_s = RESERVE_S["standard"]

    def __init__(
        self,
        songs: Sequence[Path | str],
        model: Path | str | None = None,
        compute: str = "auto",
        mask_extension: str | None = None,
    ) -> None:
        bundle = find_playable(model)
        self.model_name = bundle.name
        instant = stand_in(bundle)
        self.stems = tuple((instant or bundle).recipe.stems)
        self._order = [bundle.recipe.stems.index(stem) for stem in self.stems]
        self._has_weights = bundle.weights_path.exists()
        self.compute = check_compute(compute)
        self.support = bundle.recipe.stft.n_fft
        self._instant = None if instant is None else Engine(instant.path, compute="cpu", better=bundle.name)
        if self._instant is not None:
            self.shared = self._instant.shared
        else:
            self.shared = SharedState.create(SharedLayout(self.stems))
        self._store = StemStore(self.shared.layout.stem_rows, len(songs))
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
            "mask_extension": check_mask_extension(mask_extension),
            "songs": [str(Path(song).absolute()) for song in songs],
        }
        try:
            self._process = ChildProcess("rtsep.player.ahead.worker", config)
        except RtsepError:
            self._release()
            raise
        self._listener = guarded_thread(self._listen, "rtsep-ahead", "receiving the separated stems", self._fail)
        self._listener.start()

    def follow(self, source: FileSource) -> None:
        """Feed the stem ring with the stems of what `source`, which has the same songs, is about to play. Call once."""
        self._feeder = StemFeeder(self.shared, source, self._store, for_worker=self._instant is not None)
        self._feeder.start()

    def add(self, songs: Sequence[Path | str]) -> None:
        """Separate these after all others; before they are added to the queue of the source."""
        self._store.add(len(songs))
        self._process.send({"songs": [str(Path(song).absolute()) for song in songs]})

    def wait_ready(self, limit_s: float) -> None:
        """Wait until the network is loaded, or the instant one. RtsepError with the reason if it fails or takes too
        long."""
        deadline = time.monotonic() + limit_s
        if self._instant is not None:
            self._instant.wait_ready(limit_s)
            if self._has_weights:  # else the model's own process has something to say
                self.poll()
                return
        while not self._ready.wait(LOOK_S):
            self.poll()
            if time.monotonic() > deadline:
                raise RtsepError(f"the separation process was not ready after {limit_s:.0f} s")
        self.poll()

    def wait_enough(self, where: Callable[[], tuple[Place, int | None]], on_wait: Callable[[Waiting], None]) -> None:
        """Wait until the rest of a song will be ready in time, `on_wait` meanwhile. RtsepError as `poll`.

        `where`: the place to start at, and the samples of its song, None while they are unknown.
        """
        while (waiting := self.waiting(*where())) is not None:
            on_wait(waiting)
            self.poll()
            time.sleep(LOOK_S)

    def waiting(self, place: Place, length: int | None) -> Waiting | None:
        """None if the song can start at `place` and play to its end without a gap, or with an instant network; see
        `wait_enough`.

        Stems arrive in blocks of b samples, s samples a second. So the next block must arrive before the previous one
        has been played, and the last one of the song likewise.
        """
        done = self._store.count(place.track)
        if self._instant is not None or self._store.complete(place.track):
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
        """Return the number of restarts. RtsepError if the separation has failed."""
        if self.failure is not None:
            raise RtsepError(self.failure)
        return 0 if self._instant is None else self._instant.restarts

    @property
    def failure(self) -> str | None:
        """Why the separation has failed, in one line; None otherwise."""
        parts = (self._feeder, self._instant)
        return self._failure or next((part.failure for part in parts if part is not None and part.failure), None)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know, one line each."""
        if self._instant is not None:
            return (*self._errors, *self._instant.notices)
        missing = self._feeder is not None and self._feeder.missing and self.shared.transport.playing
        return (*self._errors, MISSING) if missing else self._errors

    def stats(self) -> EngineStats:
        """The current counters: of the instant network's worker; without one, means of the separation's times."""
        if self._instant is not None:
            return replace(self._instant.stats(), state="ahead")
        hop_ms = 1000 * HOP / self._samples_per_s if self._samples_per_s else 0.0
        published = 0 if self._feeder is None else self._feeder.published
        return EngineStats("ahead", 0, published // HOP, 0, 0, 0, hop_ms, hop_ms, self.model_name)

    def close(self) -> None:
        """End process and threads, and free the stems and the shared state, which nobody may use any more."""
        self._closing = True
        self._process.end()
        self._listener.join(timeout=5.0)
        if self._feeder is not None:
            self._feeder.close()
        self._process.close()
        self._release()

    def _release(self) -> None:
        self._store.close()
        if self._instant is None:
            self.shared.close()
        else:
            self._instant.close()

    # -- the listener's thread -------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Receive what the process sends until it ends."""
        try:
            self._receive(self._process)
        except (OSError, ValueError) as error:
            self._fail(f"cannot store the separated stems: {getattr(error, 'strerror', None) or error}")
        reason = self._process.wait()
        if reason is not None and self._failure is None:
            self._fail(f"the separation process died: {reason}")

    def _fail(self, reason: str) -> None:
        """The original mix plays on."""
        if not self._closing:
            self._failure = reason
            self._process.kill()

    def _receive(self, process: ChildProcess) -> None:
        for line in process.stdout:
            message: dict[str, Any] = json.loads(line)
            if "ready" in message:
                self.support = message["ready"]["latency_samples"]
                self._ready.set()
            elif "song" not in message:
                self._failure = message["error"]
            elif "samples" in message:
                self._store_samples(message["song"], message["samples"], process.stdout)
            elif message.get("complete"):
                self._errors += (message["error"],) if "error" in message else ()
                self._store.finish(message["song"])
            else:
                self._began_s = time.monotonic()

    def _store_samples(self, song: int, count: int, pipe: IO[bytes]) -> None:
        data = pipe.read(4 * count * self.shared.layout.stem_rows)
        if count == 0 or len(data) < 4 * count * self.shared.layout.stem_rows:
            return
        samples = np.frombuffer(data, np.float32).reshape(count, len(self.stems), -1)
        self._store.append(song, samples[:, self._order].reshape(count, -1))
        self._block = count
        self._samples_per_s = self._store.count(song) / (time.monotonic() - self._began_s)
