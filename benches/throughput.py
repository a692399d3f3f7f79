"""Throughput: time per hop by stage and backend, and whole songs on one core and on two."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np

from benches import hop
from benches.pictures import HOP_MS, histogram
from benches.report import SONG, Report, Row, Table
from rtsep.bundle import find_bundle
from rtsep.errors import RtsepError

SONGS = 4
"""How many times each process separates the bundled song."""
LIMIT_S = 600.0


def run(model: str | None, compute: str, hops: int, out: Path) -> int:
    """Measure and write."""
    report = Report("throughput", "Throughput", "one for the network and FFTs, in each process")
    bundle = find_bundle(model)
    found = hop.measure(bundle, compute, hops)
    for table in hop.tables(found):
        report.add(table)
    report.add(Table(f"Times realtime, {bundle.name} on {compute}", _realtime(found), "From medians; K hops per step."))
    songs = [_songs(str(bundle.path), compute, processes) for processes in range(1, min(2, os.cpu_count() or 1) + 1)]
    note = (
        "Times realtime, with decoding and writing of files, without start-up. Wall: duration of all songs divided by "
        "the time of the slowest process; CPU: divided by the processor time of all processes."
    )
    report.add(Table(f"`rtsep separate` of the bundled song, {SONGS} times per process, K = 32", songs, note))
    ones = {series.way: series.times["total"] for series in found if series.chunk == 1}
    histogram(report, out, "throughput-hops.png", "Compute time per hop, K = 1", ones)
    report.write(out)
    return 0


def _realtime(found: list[hop.Series]) -> list[Row]:
    return [
        {
            "K": series.chunk,
            "backend": series.way,
            "wall": round(HOP_MS / float(np.median(series.times["total"])), 1),
            "CPU": round(HOP_MS / float(np.median(series.times["CPU"])), 1),
        }
        for series in found
        if series.chunk in (1, 32)
    ]


def _songs(model: str, compute: str, processes: int) -> Row:
    """Separate in this many processes at the same time."""
    import soundfile

    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        working = [
            context.Process(target=_separate, args=(model, compute, str(Path(folder) / str(number)), barrier, answers))
            for number in range(processes)
        ]
        for process in working:
            process.start()
        try:
            times: list[tuple[float, float]] = [answers.get(timeout=LIMIT_S) for _ in working]
        except Empty:
            raise RtsepError(f"separation took more than {LIMIT_S:.0f} s, or a process died") from None
        finally:
            for process in working:
                process.join(1)
                process.kill()
    seconds = SONGS * soundfile.info(SONG).duration
    wall_s, cpu_s = max(wall for wall, _ in times), sum(cpu for _, cpu in times)
    return {
        "processes": processes,
        "audio s": processes * seconds,
        "wall": round(processes * seconds / wall_s, 1),
        "CPU": round(processes * seconds / cpu_s, 1),
    }


def _separate(model: str, compute: str, folder: str, barrier: Barrier, answers: Any) -> None:
    """What each process runs; it answers with its wall time and processor time in seconds."""
    from rtsep.separation.load import load
    from rtsep.separation.song_files import split_file

    separator = load(model, device=compute)
    split_file(SONG, Path(folder), separator)  # the first run warms up the caches
    barrier.wait(LIMIT_S)
    began, cpu_began = time.perf_counter(), time.process_time()
    for _ in range(SONGS):
        split_file(SONG, Path(folder), separator)
    answers.put((time.perf_counter() - began, time.process_time() - cpu_began))
