"""Reported and measured latency: clicks through the player, the devices alone, and seeks."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benches import after_jump, seek
from benches.live_run import LiveRun, constant_model
from benches.report import Report, Row, Table
from rtsep.audio.devices.discovery import find_device
from rtsep.audio.streams.loopback import measure_loopback
from rtsep.errors import RtsepError
from rtsep.system.native_output import libraries_silenced
from tests.live_path import MICROPHONE, RATE, SPEAKERS, LivePath, clicks, delays
from tests.virtual_audio import why_not

BLOCKS = (256, 441, 512, 1024)
CHUNKS = (1, 4)
APART = 20011
PLACES = 16
"""Number of positions in the song that are sought to compare the sound after a seek."""
LEVEL = 0.1
"""A click of 0.5 becomes one of 0.25 when it is separated by the constant masks with a stem muted."""


def run(input: str | None, output: str | None, seconds: float, jumps: int, model: str | None, out: Path) -> int:
    """Measure and write; 1 if a reported latency differs from the measured one by more than a block."""
    report = Report("latency", "Latency", "one for the network and FFTs, in the worker")
    right = True
    if input is not None and output is not None:
        report.name = "latency-devices"
        report.add(Table(f"Latency of {input} and {output}, connected by a cable", _devices(input, output)))
    else:
        if (reason := why_not()) is not None:
            report.problem(f"no clicks were measured: {reason}")
        else:
            right = _add_clicks(report, seconds)
        if jumps:
            report.add(seek.table(model, jumps))
            report.add(after_jump.table(model, PLACES))
    report.write(out)
    return 0 if right else 1


def _devices(input: str, output: str) -> list[Row]:
    rows: list[Row] = []
    with libraries_silenced():
        for block in BLOCKS:
            found = measure_loopback(find_device(input, "input"), find_device(output, "output"), block)
            rows.append(
                {
                    "block": block,
                    "measured, samples": found.measured,
                    "spread": found.spread,
                    "from time stamps": found.stamped,
                    "reported by PortAudio": found.reported,
                    "streams": "one" if found.duplex else "two",
                }
            )
    return rows


def _add_clicks(report: Report, seconds: float) -> bool:
    rows: list[Row] = []
    right = True
    for chunk in CHUNKS:
        for block in BLOCKS:
            row = _click(block, chunk, seconds)
            rows.append(row)
            error = row["error, samples"]
            if error is None:
                report.problem(f"block {block}, K = {chunk}: no click was captured")
            elif row["late blocks"] == 0 and abs(float(error)) > block:
                right = False
                report.problem(f"block {block}, K = {chunk}: the error is {error} samples, more than a block")
    note = (
        "In samples at 44 100 Hz. Reported in three parts; measured: the median of the clicks since the last change of "
        "the margin, in one recording of both ends; error: measured minus reported. A row with late blocks does not "
        "count: its margin was still growing."
    )
    report.add(Table("Clicks through virtual devices", rows, note))
    return right


def _click(block: int, chunk: int, seconds: float) -> Row:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = constant_model(folder / "halves")
        with LivePath(folder) as path:
            path.record()
            path.say(clicks(seconds + 60, APART))
            with LiveRun(
                path.environment, MICROPHONE, SPEAKERS, block=block, chunk=chunk, model=model, muted="vocals"
            ) as player:
                player.wait(1 + max(1, round(seconds)))
            entered, left = path.recorded()
        report = player.reports[-1]
    parts, measured = report["latency_samples"], delays(entered, left, LEVEL, APART)
    if np.abs(left).max() > 0.3 and report["late_blocks"] == 0:
        raise RtsepError(f"block {block}, K = {chunk}: the click was dry, and the player did not report it")
    last = measured[-min(len(measured), round(seconds * RATE / APART / 2)) :]
    median = float(np.median(last)) if last else None
    return {
        "K": chunk,
        "block": block,
        **{part: parts[part] for part in ("algorithmic", "margin", "device", "total")},
        "total ms": 1000 * parts["total"] / RATE,
        "measured": None if median is None else round(median),
        "spread": max(last) - min(last) if last else None,
        "error, samples": None if median is None else round(median - parts["total"]),
        "clicks": len(measured),
        "late blocks": report["late_blocks"],
    }
