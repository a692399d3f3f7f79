"""The player's side of the engine: the shared state, and a worker process that is there whenever it is
needed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from rtsep.errors import RtsepError
from rtsep.separation.backends.stepper import check_compute
from rtsep.separation.options import check_chunk, check_latency, find_playable
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import Trouble, WorkerState
from rtsep.system.spawn import END_LIMIT_S, end, environment, inheriting, last_line, start, tell
from rtsep.timebase import RESERVE_S, synthesis_support

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
READY_LIMIT_S = 120.0
MAX_FAILED_STARTS = 3
"""A worker that dies this often in a row without having published a hop will not get better: the dry sound goes on
without it."""
WATCH_S = 0.5
HUNG_LOOKS = 10
"""A worker that was ready and has not turned its loop for this many looks, five seconds, hangs, unless it is
in a step that may take longer. Looks are counted, not time: where the whole machine stood still nobody has looked."""


NOTICES = {
    Trouble.CHUNK_RAISED: "separation keeps up only in steps of 32 frames here: after a jump it begins later",
    Trouble.TOO_SLOW: "separation is too slow here: the sound goes on as it is until it keeps up",
    Trouble.NOT_NUMBERS: "the network gave values that are not numbers: the sound goes on as it is meanwhile",
}


@dataclass(frozen=True)
class EngineStats:
    """What the worker has done since the engine was made.

    Times are of computing one hop, over the last 4096 steps.
    """

    state: str
    chunk: int
    hops: int
    late_hops: int
    skipped_hops: int
    restarts: int
    compute_p50_ms: float
    compute_p99_ms: float


class Engine:
    """Owns the shared state and the worker. A worker that dies or hangs is replaced at once and counted.

    `close` leaves nothing behind.

    Args:
        model: name or folder of a bundle, None for the default.
        chunk: frames a step, 1 to 32; None: small while there is little lead, then up to 32.
        compute: auto, cpu, cuda or cuda:N, for the worker.
        latency: of the synthesis: standard, medium or low.

    Attributes:
        shared: the rings and words shared with worker and callback.
        stems: names, in the order of the stem ring's rows.
        compute: where the worker computes, as it said itself; before that, what was asked for.
        lost: why the worker computes on the CPU though it began elsewhere, in one line; None otherwise.
        support: samples of the synthesis window; the engine's part of the latency follows from it.
        reserve_s: how long the machine may stand still before live sound suffers.

    Raises RtsepError or UsageError for a model or option that is not there or cannot be played. Whether the worker
    can run on `compute` shows in `wait_ready`.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        chunk: int | None = None,
        compute: str = "auto",
        latency: str = "standard",
    ) -> None:
        bundle = find_playable(model)
        self.model_name = bundle.name
        self.stems = tuple(bundle.recipe.stems)
        self.chunk = check_chunk(chunk)
        self._compute = check_compute(compute)
        self._latency = check_latency(latency)
        self.support = synthesis_support(latency, bundle.recipe.stft.n_fft)
        self.reserve_s = RESERVE_S[latency]
        self._model = str(Path(bundle.path).resolve())
        self._layout = SharedLayout(stems=self.stems)
        self.shared = SharedState.create(self._layout)
        assert self.shared.block is not None
        self._descriptor = self.shared.block.fd
        self.context_frames = 0
        self.lookahead_frames = 0
        self.compute = compute
        self.lost: str | None = None
        self.restarts = 0
        self._failure: str | None = None
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._watched: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep_running, name="rtsep-worker-keeper", daemon=True)
        self._keeper.start()
        self._watcher = threading.Thread(target=self._watch, name="rtsep-worker-watcher", daemon=True)
        self._watcher.start()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def worker_pid(self) -> int | None:
        """The running worker's process id, None between two workers."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def wait_ready(self, limit_s: float = READY_LIMIT_S) -> None:
        """Wait until the first worker can separate. RtsepError with its own words if it cannot, or takes too long."""
        deadline = time.monotonic() + limit_s
        while not self._ready.wait(0.05):
            self.poll()
            if time.monotonic() > deadline:
                raise RtsepError(f"the separation worker was not ready after {limit_s:.0f} s")
        self.poll()

    @property
    def failure(self) -> str | None:
        """Why no worker runs and none will be started, in one line; None while all is well."""
        return self._failure

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know about the worker of now, one line each."""
        trouble = self.shared.worker.trouble
        lost = (f"{self.lost}; the CPU goes on",) if self.lost is not None else ()
        return (*lost, NOTICES[Trouble(trouble)]) if trouble else lost

    @property
    def ready(self) -> bool:
        """Whether a worker has been ready once."""
        return self._ready.is_set()

    def poll(self) -> int:
        """Restarts so far. RtsepError if the engine has given up: no worker runs, and none will."""
        if self._failure is not None:
            raise RtsepError(self._failure)
        return self.restarts

    def stats(self) -> EngineStats:
        """The counters of now."""
        words = self.shared.worker
        times_us = words.recent_times()
        p50, p99 = np.percentile(times_us, [50, 99]) / 1000 if len(times_us) else (0.0, 0.0)
        return EngineStats(
            state=WorkerState(words.state).name.lower(),
            chunk=words.chunk,
            hops=words.hops,
            late_hops=words.late_hops,
            skipped_hops=words.skipped_hops,
            restarts=self.restarts,
            compute_p50_ms=float(p50),
            compute_p99_ms=float(p99),
        )

    def close(self) -> None:
        """End the worker and let go of the shared memory. Nobody may look at the shared state any more. May be called
        twice."""
        self._closing.set()
        with self._lock:
            process = self._process
        if process is not None:
            end(process)
        self._keeper.join(timeout=END_LIMIT_S)
        self._watcher.join(timeout=END_LIMIT_S)
        self.shared.close()

    # -- the keeper's thread ---------------------------------------------------------------------------------

    def _keep_running(self) -> None:
        failed_starts = 0
        while not self._closing.is_set():
            published = self.shared.worker.hops
            with tempfile.TemporaryFile() as errors:
                try:
                    process = self._spawn(errors)
                except OSError as error:
                    self._failure = f"the separation worker cannot be started: {error}"
                    return
                if process is None:
                    return
                answer = self._listen(process)
                self._watched = None
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        with contextlib.suppress(OSError):
                            pipe.close()
                if self._closing.is_set():
                    return
                failed_starts = failed_starts + 1 if self.shared.worker.hops == published else 0
                if "error" in answer and not self.ready:
                    self._failure = answer["error"]
                    return
                if "error" in answer and self.compute.startswith("cuda"):  # it is not even there any more
                    self.lost, self._compute = answer["error"], "cpu"
                if failed_starts == MAX_FAILED_STARTS:
                    words = answer.get("error") or last_line(errors) or f"exit code {process.returncode}"
                    what = "dies before it has separated anything" if self.ready else "does not start"
                    self._failure = f"the separation worker {what}: {words}"
                    return
            self.restarts += 1

    def _spawn(self, errors: IO[bytes]) -> subprocess.Popen[bytes] | None:
        """A new worker that has been told what to do; None if the engine was closed meanwhile."""
        with self._lock:
            if self._closing.is_set():
                return None
            process = start("rtsep.engine.worker", errors, ONE_THREAD, **inheriting(self._descriptor))
            self._process = process
        config = {
            "fd": self._descriptor,
            "layout": self._layout.to_json(),
            "model": self._model,
            "chunk": self.chunk,
            "compute": self._compute,
            "latency": self._latency,
        }
        tell(process, config)
        return process

    def _listen(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Take the worker's answers until it dies; returns all of them as one."""
        assert process.stdout is not None
        answers: dict[str, Any] = {}
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                answers |= json.loads(line)
            if "ready" in answers:
                self._watched = process
            if "lost" in answers:
                self.lost, self._compute = answers["lost"], "cpu"
            elif "ready" in answers:
                about = answers["ready"]
                self.compute = about["compute"]
                self.context_frames = about["context_frames"]
                self.lookahead_frames = about["lookahead_frames"]
                self._ready.set()
        return answers

    # -- the watcher's thread --------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Kill a worker that hangs; the keeper does the rest."""
        looks, seen = 0, None
        while not self._closing.wait(WATCH_S):
            process = self._watched
            now = (process, self.shared.worker.heartbeat)
            looks = looks + 1 if process is not None and now == seen else 0
            seen = now
            if process is not None and looks >= HUNG_LOOKS and time.monotonic_ns() > self.shared.worker.heartbeat:
                looks = 0
                process.kill()


def worker_rank() -> str:
    """In a few words, the rank that a worker gets on this system; asked of a process that ends."""
    code = "from rtsep.system.priority import raise_worker; print(raise_worker())"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment() | ONE_THREAD, start_new_session=True
    )
    return done.stdout.strip() or "unknown"
