"""The player's side of live separation: the shared state and the worker process, which is restarted when it fails."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtsep.errors import RtsepError, has_torch
from rtsep.live_settings import choose_live_setting
from rtsep.separation.backends.stepper import check_compute
from rtsep.separation.instant import instant_bundle
from rtsep.separation.options import check_chunk, check_mask_extension, find_playable
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import Network, WorkerProblem, WorkerState
from rtsep.system.guarded_thread import guarded_thread
from rtsep.system.spawn import END_LIMIT_S, ChildProcess, child_environment
from rtsep.timebase import RESERVE_S, synthesis_support

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
READY_LIMIT_S = 120.0
MAX_FAILED_STARTS = 3
"""Workers in a row that may die without having published a hop; then no other is started and the original mix plays."""
WATCH_S = 0.5
HUNG_LOOKS = 10
"""A worker whose heartbeat hasn't moved for so many looks (5 s) hangs, unless it is in a step that may take longer.
Looks are counted, not time: while the whole machine was suspended there were none."""

NOTICES = {
    WorkerProblem.CHUNK_RAISED: "this machine keeps up in steps of 32 frames only; separation starts late after a jump",
    WorkerProblem.TOO_SLOW: "this machine can't keep up; playing the original mix until it does",
    WorkerProblem.MODEL_TOO_SLOW: "this machine can't keep up with the model; playing the instant one until it does",
    WorkerProblem.NAN_OUTPUT: "the model produced NaN; playing the original mix until it recovers",
}


@dataclass(frozen=True)
class EngineStats:
    """The worker's counters since the engine was made; times are of computing one hop, over the last 4096 steps.

    `network`: name of the model whose stems are heard: the instant network's until the model itself is ready.
    """

    state: str
    chunk: int
    hops: int
    late_hops: int
    skipped_hops: int
    restarts: int
    compute_p50_ms: float
    compute_p99_ms: float
    network: str


class Engine:
    """Owns the shared state and the worker process. A worker that dies or hangs is replaced at once and counted.

    `close` ends the process and frees all memory.

    Args:
        model: name or folder of a bundle, None for the default.
        chunk: frames a step, 1 to 32; None: small while there is little lead, then up to 32.
        compute: auto, cpu, cuda or cuda:N, for the worker.
        latency: standard, medium, low, or the most milliseconds, see `rtsep.live_settings`.
        better: name of a model whose stems will be put into the ready ring; None if there is none.
        mask_extension: of Spleeter's networks, see `rtsep.load`; None is the recipe's.

    Attributes:
        shared: rings and status fields shared with the worker and the callback.
        stems: names, in the order of the stem ring's rows.
        compute: the device the worker computes on; until it is ready, the `compute` that was asked for.
        device_error: why the worker computes on the CPU although it started elsewhere, in one line; else None.
        support: samples of the synthesis window, from which the algorithmic latency follows.
        reserve_s: how long the machine may stall before live sound suffers, in seconds.

    Raises RtsepError or UsageError for a model or option that doesn't exist or can't be played. Whether the worker
    can run on `compute` shows in `wait_ready`.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        chunk: int | None = None,
        compute: str = "auto",
        latency: str = "standard",
        mask_extension: str | None = None,
        better: str | None = None,
    ) -> None:
        bundle = find_playable(model)
        self.model_name = bundle.name
        self.stems = tuple(bundle.recipe.stems)
        self.chunk = check_chunk(chunk)
        self._compute = check_compute(compute)
        self._mask_extension = check_mask_extension(mask_extension)
        self._latency = latency
        setting = choose_live_setting(bundle.recipe, latency)
        self.support = synthesis_support(setting.mode, bundle.recipe.stft.n_fft)
        self.reserve_s = RESERVE_S[setting.mode]
        self._model = str(Path(bundle.path).resolve())
        # Live, a model's own delay is part of the latency, and it has that long for its first sound. A model that can't
        # be loaded is loaded at once, for its error.
        instant = instant_bundle(bundle) if chunk is None and has_torch() and bundle.has_weights else None
        self._instant = None if instant is None else str(instant.path.resolve())
        self._awaits_better = better is not None
        self._networks = {
            Network.INSTANT: bundle.name if instant is None else instant.name,
            Network.MODEL: better or bundle.name,
        }
        self._layout = SharedLayout(stems=self.stems)
        self.shared = SharedState.create(self._layout)
        assert self.shared.block is not None
        self._descriptor = self.shared.block.fd
        self.lookahead_frames = 0
        self.compute = compute
        self.device_error: str | None = None
        self._model_error: str | None = None
        self.restarts = 0
        self._failure: str | None = None
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._process: ChildProcess | None = None
        self._watched: ChildProcess | None = None
        what = "the separation engine"
        self._supervisor = guarded_thread(self._supervise, "rtsep-worker-supervisor", what, self._give_up)
        self._watchdog = guarded_thread(self._watch, "rtsep-worker-watchdog", what, self._give_up)
        self._supervisor.start()
        self._watchdog.start()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def worker_pid(self) -> int | None:
        """The running worker's process id, None between two workers."""
        return self._process.pid if self._process is not None else None

    def wait_ready(self, limit_s: float = READY_LIMIT_S) -> None:
        """Wait until the first worker can separate. RtsepError with its message if it can't, or takes too long."""
        deadline = time.monotonic() + limit_s
        while not self._ready.wait(0.05):
            self.poll()
            if time.monotonic() > deadline:
                raise RtsepError(f"the separation worker was not ready after {limit_s:.0f} s")
        self.poll()

    @property
    def failure(self) -> str | None:
        """Why no worker runs and none will be started, in one line; None otherwise."""
        return self._failure

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know about the worker now, one line each."""
        problem = self.shared.worker.problem
        found = [] if self.device_error is None else [f"{self.device_error}; continuing on the CPU"]
        if self._model_error is not None:
            found.append(f"{self._model_error}; playing {self._networks[Network.INSTANT]} instead")
        if problem:
            found.append(NOTICES[WorkerProblem(problem)])
        return tuple(found)

    @property
    def ready(self) -> bool:
        """Whether a worker has been ready once."""
        return self._ready.is_set()

    def poll(self) -> int:
        """Return the number of restarts so far. RtsepError if no worker runs and none will be started."""
        if self._failure is not None:
            raise RtsepError(self._failure)
        return self.restarts

    def stats(self) -> EngineStats:
        """Return the counters as they are now."""
        worker = self.shared.worker
        times_us = worker.recent_times()
        p50, p99 = np.percentile(times_us, [50, 99]) / 1000 if len(times_us) else (0.0, 0.0)
        return EngineStats(
            state=WorkerState(worker.state).name.lower(),
            chunk=worker.chunk,
            hops=worker.hops,
            late_hops=worker.late_hops,
            skipped_hops=worker.skipped_hops,
            restarts=self.restarts,
            compute_p50_ms=float(p50),
            compute_p99_ms=float(p99),
            network=self._networks[self._heard_network()],
        )

    def _heard_network(self) -> Network:
        """What the worker says of another epoch, before a jump, isn't heard any more: each begins with the instant
        network."""
        head = self.shared.callback.read()
        published = self.shared.stem.epoch == head.epoch
        return self.shared.worker.network_at(head.position) if published else Network.INSTANT

    def close(self) -> None:
        """End the worker and free the shared memory; nobody may use the shared state any more. Idempotent."""
        self._closing.set()
        with self._lock:
            process = self._process
        if process is not None:
            process.end()
        self._supervisor.join(timeout=END_LIMIT_S)
        self._watchdog.join(timeout=END_LIMIT_S)
        self.shared.close()

    # -- the supervisor's thread -----------------------------------------------------------------------------

    def _supervise(self) -> None:
        """Run one worker after the other. RtsepError if one can't be started, or no other would do better."""
        failed_starts = 0
        while (process := self._start_worker()) is not None:
            published = self.shared.worker.hops
            try:
                answers = self._listen(process)
            finally:
                self._watched = None
            reason = process.wait()
            process.close()
            if self._closing.is_set() or self._failure is not None:
                return
            failed_starts = failed_starts + 1 if self.shared.worker.hops == published else 0
            if "error" in answers and not self.ready:
                raise RtsepError(answers["error"])
            if "error" in answers and self.compute.startswith("cuda"):  # the device can't be opened any more
                self.device_error, self._compute = answers["error"], "cpu"
            if failed_starts == MAX_FAILED_STARTS:
                what = "exits before it has separated anything" if self.ready else "does not start"
                raise RtsepError(f"the separation worker {what}: {answers.get('error', reason)}")
            self.restarts += 1

    def _start_worker(self) -> ChildProcess | None:
        """A new worker process; None if the engine was closed meanwhile. RtsepError if it can't be started."""
        config = {
            "fd": self._descriptor,
            "layout": self._layout.to_json(),
            "model": self._model,
            "instant": self._instant,
            "awaits_better": self._awaits_better,
            "chunk": self.chunk,
            "compute": self._compute,
            "latency": self._latency,
            "mask_extension": self._mask_extension,
        }
        with self._lock:  # `close` ends the process that it finds; one that is being started must be found
            if self._closing.is_set():
                return None
            self._process = ChildProcess("rtsep.engine.worker", config, ONE_THREAD, [self._descriptor])
            return self._process

    def _listen(self, process: ChildProcess) -> dict[str, Any]:
        """Handle the worker's messages until it ends; returns them merged into one."""
        answers: dict[str, Any] = {}
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                answers |= json.loads(line)
            if "ready" in answers:
                self._watched = process
            if "device_error" in answers:
                self.device_error, self._compute = answers["device_error"], "cpu"
            elif "ready" in answers:
                about = answers["ready"]
                self.compute = about["compute"]
                self.lookahead_frames = about["lookahead_frames"]
                self._ready.set()
            if "model_error" in answers:
                self._model_error = answers["model_error"]
        return answers

    def _give_up(self, reason: str) -> None:
        """End without a worker: `failure` says why, and the callback plays the original mix."""
        self._failure = reason
        if self._process is not None:
            self._process.kill()

    # -- the watchdog's thread -------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Kill a worker that hangs; the supervisor starts the next one."""
        looks, seen = 0, None
        while not self._closing.wait(WATCH_S):
            process = self._watched
            now = (process, self.shared.worker.heartbeat)
            looks = looks + 1 if process is not None and now == seen else 0
            seen = now
            if process is not None and looks >= HUNG_LOOKS and time.monotonic_ns() > self.shared.worker.heartbeat:
                looks = 0
                process.kill()


def worker_priority() -> str:
    """Return the priority that a worker gets on this system, in a few words; a short-lived process tries it."""
    code = "from rtsep.system.priority import raise_priority; print(raise_priority())"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, env=child_environment() | ONE_THREAD, start_new_session=True
    )
    return done.stdout.strip() or "unknown"
