"""Latency told against latency measured: a click's way through the player, the devices' own part, and jumps."""

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
"""Of the song, jumped to in order to hear what comes after."""
LEVEL = 0.1
"""A click of 0.5 is heard as one of 0.25 when separated by the constant masks with a stem muted."""


def run(given: str | None, taken: str | None, seconds: float, jumps: int, model: str | None, out: Path) -> int:
    """Measure and write; 1 where a latency told is further from the measured than a block."""
    report = Report("latency", "Latency", "one for network and FFTs, in the worker")
    right = True
    if given is not None and taken is not None:
        report.name = "latency-devices"
        report.add(Table(f"What {given} and {taken} take, joined by a cable", _devices(given, taken)))
    else:
        if (reason := why_not()) is not None:
            report.problem(f"no clicks: {reason}")
        else:
            right = _add_clicks(report, seconds)
        if jumps:
            report.add(seek.table(model, jumps))
            report.add(after_jump.table(model, PLACES))
    report.write(out)
    return 0 if right else 1


def _devices(given: str, taken: str) -> list[Row]:
    rows: list[Row] = []
    with libraries_silenced():
        for block in BLOCKS:
            found = measure_loopback(find_device(given, "input"), find_device(taken, "output"), block)
            rows.append(
                {
                    "block": block,
                    "measured, samples": found.measured,
                    "spread": found.spread,
                    "by time stamps": found.stamped,
                    "PortAudio says": found.reported,
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
            off = row["off, samples"]
            if off is None:
                report.problem(f"block {block}, K = {chunk}: no click was heard")
            elif row["late blocks"] == 0 and abs(float(off)) > block:
                right = False
                report.problem(f"block {block}, K = {chunk}: the latency told is {off} samples off, more than a block")
    note = (
        "In samples at 44 100 Hz. Told in three parts; measured: the median of the clicks since the last change of the "
        "margin, in one recording of both ends; off: measured less told. A row with late blocks is no measurement: its "
        "margin was still growing."
    )
    report.add(Table("A click through virtual devices", rows, note))
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
        told = player.reports[-1]
    parts, measured = told["latency_samples"], delays(entered, left, LEVEL, APART)
    if np.abs(left).max() > 0.3 and told["late_blocks"] == 0:
        raise RtsepError(f"block {block}, K = {chunk}: the click was heard dry, and the player does not know")
    last = measured[-min(len(measured), round(seconds * RATE / APART / 2)) :]
    median = float(np.median(last)) if last else None
    return {
        "K": chunk,
        "block": block,
        **{part: parts[part] for part in ("algorithmic", "margin", "device", "total")},
        "total ms": 1000 * parts["total"] / RATE,
        "measured": None if median is None else round(median),
        "spread": max(last) - min(last) if last else None,
        "off, samples": None if median is None else round(median - parts["total"]),
        "clicks": len(measured),
        "late blocks": told["late_blocks"],
    }
