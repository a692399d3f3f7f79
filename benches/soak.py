"""A long live run with every sample checked: late hops, underruns, memory, and when they happened."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from benches.judge import PERIOD, RATE, Judge, counter
from benches.live_run import LiveRun
from benches.pictures import histogram, timeline
from benches.report import SONG, Report, Table, tail
from benches.soak_paths import JackPath, PulsePath
from benches.stalls import Stalls
from rtsep.engine.live_engine import worker_priority
from rtsep.errors import RtsepError
from rtsep.system.priority import audio_priority

BLOCK = 256
SETTLE_S = 10.0
"""Wait after the player's first report before counting: the clock corrector takes that long to settle."""
POINTS = 360
RECENT = 32
AFTER_S = (-0.05, 1.0)
"""A fault this long after a machine stall is attributed to it: a monitor captures a sound before it is played, and the
play head waits before it is corrected."""


def endless_sound(position: int, samples: int) -> NDArray[np.float32]:
    """The bundled song, repeated, on the left for the network; the counter on the right."""
    at = np.arange(position, position + samples)
    return np.stack([_material()[0][at % len(_material()[0])], _material()[1][at % PERIOD]])


_kept: list[NDArray[np.float32]] = []


def _material() -> list[NDArray[np.float32]]:
    if not _kept:
        song = soundfile.read(SONG, dtype="float32")[0].mean(axis=1)
        _kept.extend([0.5 * song / np.abs(song).max(), counter()])
    return _kept


def run(minutes: float, busy: bool, jack: bool, model: str | None, out: Path) -> int:
    """Run and write the results; 1 if a sample was wrong, 130 if Ctrl-C ended the run early."""
    name = "-".join(["soak", *(["jack"] if jack else []), *(["busy"] if busy else [])])
    where = "on JACK's dummy clock" if jack else "through virtual devices"
    also = ", other core busy" if busy else ""
    threads = f"one for the network and FFTs, in the worker ({worker_priority()}); audio: {audio_priority()}"
    report = Report(name, f"Soak test {where}{also}", threads)
    judge, interrupted = Judge(), False
    interval_s = max(1.0, 60 * minutes / POINTS)
    reports: list[dict[str, Any]] = []
    first, underruns, underruns_before = 0, None, None
    stalls = Stalls()
    with ExitStack() as stack:
        _material()
        path = stack.enter_context((JackPath if jack else PulsePath)(endless_sound))
        if busy:
            stack.callback(_end, subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True))
        player = stack.enter_context(
            LiveRun(path.environment, path.given, path.taken, block=BLOCK, model=model, interval_s=interval_s)
        )
        listening = _Listening(path, judge)
        try:
            player.wait()
            path.connect()
            listening.start()
            time.sleep(SETTLE_S)
            first = len(player.reports)
            judge.count_from_now()
            stack.enter_context(stalls)
            underruns_before = path.underruns()
            _let_time_go_by(minutes, listening, player)
            player.wait(first + 2)
        except KeyboardInterrupt:
            interrupted = True
            report.problem("ended early by Ctrl-C; the figures cover the time until then")
        if first:
            listening.stop()
            reports = player.reports[first - 1 :]
            underruns = None if underruns_before is None else (path.underruns() or 0) - underruns_before
    if len(reports) < 2:
        if interrupted:
            raise KeyboardInterrupt  # before anything was measured
        raise RtsepError("the player did not report: nothing was measured")
    faults_s = [listening.times_s[fault] for fault in judge.faults]
    _tell(report, reports, judge, jack, underruns, stalls.seen, faults_s)
    _draw(report, out, name, reports, stalls.seen or [])
    begin_s = reports[0]["monotonic_s"]
    report.series["faults_s"] = [round(fault_s - begin_s, 3) for fault_s in faults_s]
    report.series["stood_still_s_ms"] = [(round(at_s - begin_s, 3), late_ms) for at_s, late_ms in stalls.seen or []]
    report.write(out)
    return 130 if interrupted else int(judge.wrong > 0)


def _let_time_go_by(minutes: float, listening: _Listening, player: LiveRun) -> None:
    print(f"rtsep: measuring for {minutes:g} minutes; Ctrl-C ends the run early", file=sys.stderr, flush=True)
    began = time.monotonic()
    while (gone_s := time.monotonic() - began) < 60 * minutes:
        listening.check()
        player.wait()
        if sys.stderr.isatty():
            print(f"\r{gone_s / 60:.1f} of {minutes:g} minutes ", end="", file=sys.stderr, flush=True)
        time.sleep(0.5)


class _Listening(threading.Thread):
    """Checks the capture as it arrives."""

    def __init__(self, path: PulsePath | JackPath, judge: Judge) -> None:
        super().__init__(daemon=True)
        self._path, self._judge = path, judge
        self._ending = threading.Event()
        self._error: RtsepError | None = None
        self._received = 0
        self._begins_s: deque[float] = deque(maxlen=RECENT)
        self.times_s: dict[int, float] = {}
        """Sample of a fault -> its time in seconds of `time.monotonic`."""

    def run(self) -> None:
        try:
            for entered, left in self._path.chunks():
                if self._ending.is_set():
                    return
                self._received += left.shape[1]
                self._begins_s.append(time.monotonic() - self._received / RATE)
                self._judge.take(entered[1], left[1])
                for fault in self._judge.faults[-RECENT:]:
                    # By the sound that lately was the least late to arrive.
                    self.times_s.setdefault(fault, min(self._begins_s) + fault / RATE)
        except RtsepError as error:
            self._error = error

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self._ending.set()
        self.join(5)


def _end(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def _tell(
    report: Report,
    reports: list[dict[str, Any]],
    judge: Judge,
    jack: bool,
    underruns: int | None,
    stalls: list[tuple[float, float]] | None,
    faults_s: list[float],
) -> None:
    first, last = reports[0], reports[-1]

    def grown(*keys: str) -> Any:
        values = []
        for told in (first, last):
            value: Any = told
            for key in keys:
                value = value[key]
            values.append(value)
        return values[1] - values[0]

    facts: list[dict[str, str | int | float | None]] = [
        {"what": "minutes measured", "value": round(grown("monotonic_s") / 60, 2)},
        {"what": "samples checked", "value": judge.judged},
        {"what": "samples that differ from the input", "value": judge.wrong},
        {"what": "faults (runs of such samples)", "value": len(judge.faults)},
        {"what": "samples not checked (no input yet)", "value": judge.silent},
        {"what": "hops separated", "value": grown("engine", "hops")},
        {"what": "late hops", "value": grown("engine", "late_hops")},
        {"what": "skipped hops", "value": grown("engine", "skipped_hops")},
        {"what": "late blocks (dry for a moment)", "value": grown("late_blocks")},
        {"what": "seconds dry", "value": round(grown("dry_s"), 3)},
        {"what": "input overflows reported by the device", "value": grown("live", "overflows")},
        {"what": "underruns counted by the sound server", "value": underruns},
        {"what": "play head corrections", "value": grown("live", "rejumps")},
        {"what": "worker restarts", "value": grown("engine", "restarts")},
        {"what": "reported latency, samples", "value": last["latency_samples"]["total"]},
        {"what": "measured latency, minimum, samples", "value": round(float(judge.delays[0]), 1)},
        {"what": "measured latency, maximum, samples", "value": round(float(judge.delays[1]), 1)},
        *_standstills(stalls, faults_s),
        *(
            {"what": f"{who} memory at the {when}, MiB", "value": told[f"{who}_mib"]}
            for who in ("player", "worker")
            for when, told in (("start", first), ("end", last))
        ),
    ]
    told = [f"at {fault / RATE:.1f} s" for fault in judge.faults[:5]]
    note = "Measured latency: the delay of the capture"
    note += (
        " between two clients, without the latency of the ports, which is part of the reported latency. "
        if jack
        else ". "
    )
    note += f"First faults: {', '.join(told)}." if told else "No sample was lost, repeated or changed."
    note += " Machine stalls: how much too late a process at SCHED_FIFO 90 on each processor woke up."
    report.add(Table(f"Live at K = 1, block {BLOCK}, {last['model']} on {last['compute']}", facts, note))
    for line in messages(reports):
        report.problem(f"message: {line}")
    times_ms = _hop_times(reports)
    if times_ms:
        report.add(Table("Compute time per hop of 23.2 ms", [{"hops": len(times_ms)} | tail(times_ms)]))


def messages(reports: list[dict[str, Any]]) -> list[str]:
    """The messages that a user saw after the first report, and permanent failures before it."""
    return [*reports[0]["messages"], *(line for told in reports[1:] for line in told["news"])]


def _standstills(stalls: list[tuple[float, float]] | None, faults_s: list[float]) -> list[dict[str, Any]]:
    if stalls is None:
        return [{"what": "machine stalls", "value": None}]
    begins_s = [at_s - late_ms / 1000 for at_s, late_ms in stalls]
    after = [any(AFTER_S[0] <= fault_s - begin_s < AFTER_S[1] for begin_s in begins_s) for fault_s in faults_s]
    return [
        {"what": "machine stalls of 5 ms or more", "value": len(stalls)},
        {"what": "longest stall, ms", "value": max((late_ms for _, late_ms in stalls), default=0.0)},
        {"what": "faults within 1 s of a stall", "value": sum(after)},
    ]


def _hop_times(reports: list[dict[str, Any]]) -> list[float]:
    return [time_us / 1000 for told in reports[1:] for time_us in told["hop_times_us"]]


def _draw(
    report: Report, out: Path, name: str, reports: list[dict[str, Any]], stalls: list[tuple[float, float]]
) -> None:
    later = reports[1:]
    at_s = [told["monotonic_s"] for told in reports]
    times_s = [end_s - at_s[0] for end_s in at_s[1:]]
    slowest = [max(told["hop_times_us"], default=0) / 1000 for told in later]
    median = [float(np.median(told["hop_times_us"] or [0])) / 1000 for told in later]
    late = {
        "late hops": [told["engine"]["late_hops"] - reports[0]["engine"]["late_hops"] for told in later],
        "late blocks": [told["late_blocks"] - reports[0]["late_blocks"] for told in later],
    }
    still = [
        max((late_ms for when_s, late_ms in stalls if begin_s <= when_s < end_s), default=0.0)
        for begin_s, end_s in itertools.pairwise(at_s)
    ]
    memory = {who: [told[f"{who}_mib"] or 0.0 for told in later] for who in ("player", "worker")}
    report.series = {
        "seconds": [round(at, 1) for at in times_s],
        "slowest_hop_ms": slowest,
        "median_hop_ms": [round(value, 3) for value in median],
        "machine_stood_still_ms": still,
        **{key.replace(" ", "_"): values for key, values in late.items()},
        **{f"{who}_mib": values for who, values in memory.items()},
    }
    lanes = {
        "ms per hop": {"slowest": slowest, "median": median},
        "ms": {"machine stalls": still},
        "count": late,
        "MiB": memory,
    }
    timeline(report, out, f"{name}-timeline.png", report.title, times_s, lanes)
    if times_ms := _hop_times(reports):
        histogram(report, out, f"{name}-hops.png", f"{report.title}: compute time per hop", {"worker": times_ms})
