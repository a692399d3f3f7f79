"""The output of every benchmark: tables on the screen, and JSON, Markdown and plots in a folder.

The JSON contains everything in the Markdown; `docs/benchmarks.md` is generated from it (see benches/document.py).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

REPOSITORY = Path(__file__).parent.parent
SONG = REPOSITORY / "demo" / "paper-boats" / "mixture.flac"
PACKAGES = ("numpy", "numba", "pyfftw", "torch", "sounddevice", "soundfile")
TAIL = {"p50": 50, "p95": 95, "p99": 99, "p99.9": 99.9, "max": 100}

Row = Mapping[str, str | int | float | None]


@dataclass(frozen=True)
class Table:
    """A titled table. All rows have the same keys, the column headings with units. None is shown as a dash."""

    title: str
    rows: Sequence[Row]
    note: str = ""


@dataclass
class Report:
    """One run of one benchmark.

    Attributes:
        name: base name of the files.
        threads: number of threads, in words.
        problems: what could not be measured or went wrong, one line each.
        pictures: file name, beside the JSON -> caption.
    """

    name: str
    title: str
    threads: str
    command: str = field(default_factory=lambda: shlex.join(["rtsep", *sys.argv[1:]]))
    began: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))
    machine: dict[str, Any] = field(default_factory=lambda: machine())
    versions: dict[str, str] = field(default_factory=lambda: versions())
    load_before: float | None = field(default_factory=lambda: load())
    load_after: float | None = None
    seconds: float = 0.0
    tables: list[Table] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._began_s = time.perf_counter()
        print(f"{self.title}\n\n{self.head()}\n", flush=True)

    def add(self, table: Table) -> None:
        """Add a table and print it."""
        self.tables.append(table)
        print(markdown(table), flush=True)

    def problem(self, line: str) -> None:
        """Add a problem and print it on stderr."""
        self.problems.append(line)
        print(f"rtsep: {line}", file=sys.stderr, flush=True)

    def head(self) -> str:
        """Machine, versions, threads, load and command, as lines of Markdown."""
        return head(asdict(self))

    def write(self, folder: Path) -> None:
        """Write NAME.json and NAME.md; the plots are written before."""
        self.seconds, self.load_after = round(time.perf_counter() - self._began_s, 1), load()
        folder.mkdir(parents=True, exist_ok=True)
        plain = asdict(self)
        (folder / f"{self.name}.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
        (folder / f"{self.name}.md").write_text(section(plain), encoding="utf-8")
        print(f"written to {folder}: {self.name}.json, {self.name}.md", *self.pictures, sep=", ")


def head(report: Mapping[str, Any]) -> str:
    """`Report.head` of a report in its JSON form."""
    machine, loads = report["machine"], [report["load_before"], report["load_after"]]
    load_text = " to ".join(
        "?" if value is None else f"{value:.1f}" for value in loads[: 2 if report["seconds"] else 1]
    )
    lasted = f", {report['seconds']:.0f} s" if report["seconds"] else ""
    return "\n".join(
        [
            f"* command: `{report['command']}`",
            f"* machine: {machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['system']}; "
            f"load {load_text}; {report['began']}{lasted}",
            "* versions: " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
            f"* threads: {report['threads']}",
        ]
    )


def section(report: Mapping[str, Any], pictures_at: str = "") -> str:
    """Markdown of a report in its JSON form. `pictures_at`: folder of the plots, relative to the document."""
    parts = [f"## {report['title']}\n", head(report) + "\n"]
    parts += [markdown(Table(**table)) for table in report["tables"]]
    parts += ["\n".join(f"* {line}" for line in report["problems"]) + "\n"] if report["problems"] else []
    parts += [f"![{shows}]({pictures_at}{name})\n" for name, shows in report["pictures"].items()]
    return "\n".join(parts)


def markdown(table: Table) -> str:
    """Markdown of a table with its title and note."""
    lines = [f"### {table.title}\n"]
    if table.rows:
        columns = list(table.rows[0])
        right = [all(not isinstance(row[column], str) for row in table.rows) for column in columns]
        lines.append("| " + " | ".join(columns) + " |")
        lines.append("| " + " | ".join("---:" if numbers else "---" for numbers in right) + " |")
        lines += ["| " + " | ".join(_text(row[column]) for column in columns) + " |" for row in table.rows]
    if table.note:
        lines.append(f"\n{table.note}")
    return "\n".join(lines) + "\n"


def _text(value: str | int | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str | int):
        return str(value)
    if 0 < abs(value) < 1e-3:
        return f"{value:.1e}"
    places = next((places for places, below in ((3, 1), (2, 10), (1, 100)) if abs(value) < below), 0)
    return f"{value:.{places}f}"


def tail(values: ArrayLike, unit: str = "ms") -> dict[str, float]:
    """Columns p50 to max of `values`: tails, not means."""
    found = np.percentile(np.asarray(values, float), list(TAIL.values()))
    return {f"{name} {unit}": round(float(value), 4) for name, value in zip(TAIL, found, strict=True)}


# -- facts ----------------------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system."""
    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            names = [line.split(": ", 1)[1].strip() for line in info if line.startswith("model name")]
        processor = names[0] if names else processor
    memory = "memory unknown"
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": processor, "cores": cores, "memory": memory, "system": platform.platform(terse=True)}


def versions() -> dict[str, str]:
    """Versions of rtsep (with its commit), Python and the main packages."""
    found = {"rtsep": importlib.metadata.version("rtsep")}
    try:
        git = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"]
        found["rtsep"] += f" ({subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()})"
    except (OSError, subprocess.CalledProcessError):
        pass  # a checkout without its history
    return found | {"Python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}


def load() -> float | None:
    """Load average of the last minute; None if the system does not report it."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
