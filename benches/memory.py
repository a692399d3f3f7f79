"""Memory of `rtsep separate` on a long song: of all its processes together, from start to end."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import soundfile

from benches.pictures import timeline
from benches.report import SONG, Report, Row, Table
from rtsep.bundle import find_bundle
from rtsep.errors import RtsepError

LIMIT_MB = 1500
SAMPLE_S = 0.5
POINTS = 200
"""Of a curve in the report: each the largest value of its part."""
SHORTER = 12
"""How much shorter the song is with which options are tried."""
OPTIONS = {
    "--two-stems vocals --format flac": (),
    "--mix vocals=-inf --bits 16 --clip rescale": (),
    "--wiener": (),
    "--format mp3": (),
    "--jobs 2": ("mp3", "mp3"),
}
"""Options -> formats of the songs, one FLAC if none is named."""


@dataclass
class Curve:
    """Memory in MB at times in seconds since the start."""

    times_s: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def reduced(self) -> Curve:
        parts = np.array_split(np.arange(len(self.times_s)), min(POINTS, len(self.times_s)))
        return Curve(
            [round(self.times_s[part[-1]], 1) for part in parts],
            [max(self.megabytes[index] for index in part) for part in parts],
        )


def run(model: str | None, hours: float, out: Path) -> int:
    """Measure and write; 1 if there is more than the limit."""
    report = Report("memory", "Memory of long songs", "one in each process, for one song each")
    name = find_bundle(model).name
    out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=out) as temporary:
        folder = Path(temporary)
        cases = [("", hours, ["flac"])]
        cases += [(words, hours / SHORTER, list(forms) or ["flac"]) for words, forms in OPTIONS.items()]
        for words, length_h, forms in cases:
            songs = [_long_song(folder / f"{number}.{form}", length_h) for number, form in enumerate(forms)]
            command = ["separate", *map(str, songs), "-o", str(folder / "out"), "--model", name, *words.split()]
            curve = _watch(command)
            rows.append(_row(words, length_h, forms, curve))
            print(rows[-1], file=sys.stderr, flush=True)
            if not words:
                _draw(report, out, name, hours, curve)
            shutil.rmtree(folder / "out")
    note = (
        "Resident memory of all processes, sampled twice a second; what they share counts once for each. The bundled "
        "song, over and over. Early: mean of the time from 10 % to 35 %; late: of the last quarter. Not bounded are "
        "--tta and --merge-artifacts, which need the whole song at once."
    )
    report.add(Table(f"`rtsep separate --model {name}`", rows, note))
    peak = max(float(row["peak MB"] or 0) for row in rows)
    if peak > LIMIT_MB:
        report.problem(f"{peak:.0f} MB, more than {LIMIT_MB} MB")
    report.write(out)
    return 1 if report.problems else 0


def _long_song(path: Path, length_h: float) -> Path:
    """The bundled song repeated until it is so long."""
    sound, rate = soundfile.read(SONG, dtype="float32")
    with soundfile.SoundFile(path, "w", rate, sound.shape[1]) as file:
        left = round(length_h * 3600 * rate)
        while left > 0:
            for begin in range(0, min(len(sound), left), rate):
                file.write(sound[begin : begin + rate][: left - begin])
            left -= len(sound)
    return path


def _watch(arguments: list[str]) -> Curve:
    """Run rtsep, and watch the memory of all of its processes."""
    curve = Curve()
    process = psutil.Popen([sys.executable, "-m", "rtsep", *arguments], stdout=subprocess.DEVNULL)
    began_s = time.monotonic()
    while process.poll() is None:
        total = 0
        for each in (process, *_children(process)):
            try:
                total += each.memory_info().rss
            except psutil.NoSuchProcess:
                pass
        curve.times_s.append(time.monotonic() - began_s)
        curve.megabytes.append(round(total / 1e6, 1))
        time.sleep(SAMPLE_S)
    if process.returncode:
        raise RtsepError(f"rtsep {' '.join(arguments)} failed with exit code {process.returncode}")
    return curve


def _children(process: psutil.Popen) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _row(words: str, length_h: float, forms: list[str], curve: Curve) -> Row:
    megabytes, took_s = np.array(curve.megabytes), curve.times_s[-1]
    tenth, quarter = len(megabytes) // 10, len(megabytes) // 4
    return {
        "options": words or "none",
        "songs": " + ".join(forms),
        "hours each": round(length_h, 2),
        "early MB": float(megabytes[tenth : tenth + quarter].mean().round()),
        "late MB": float(megabytes[-quarter:].mean().round()),
        "peak MB": float(megabytes.max().round()),
        "x realtime": round(len(forms) * length_h * 3600 / took_s, 1),
    }


def _draw(report: Report, out: Path, name: str, hours: float, curve: Curve) -> None:
    reduced = curve.reduced()
    report.series["memory"] = {"seconds": reduced.times_s, "MB": reduced.megabytes}
    shows = f"Memory while {name} separates {hours:g} hours"
    lanes = {"MB": {"all processes": reduced.megabytes, "limit": [float(LIMIT_MB)] * len(reduced.times_s)}}
    timeline(report, out, "memory-timeline.png", shows, reduced.times_s, lanes)
