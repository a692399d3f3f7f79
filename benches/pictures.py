"""The two kinds of plots: distributions of times per hop, and timelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from benches.report import Report
from rtsep.timebase import HOP, SAMPLE_RATE

HOP_MS = 1000 * HOP / SAMPLE_RATE


def histogram(report: Report, folder: Path, name: str, shows: str, series: Mapping[str, ArrayLike]) -> None:
    """Draw times per hop in ms on two logarithmic scales, which show single outliers; a line marks the hop."""
    times = {label: np.asarray(values, float) for label, values in series.items()}
    least, most = min(values.min() for values in times.values()), max(values.max() for values in times.values())
    edges = np.geomspace(max(least, 1e-3) / 1.1, max(most, HOP_MS) * 1.1, 120)

    def draw(figure) -> None:
        axes = figure.add_subplot()
        for label, values in times.items():
            axes.hist(values, edges, histtype="step", label=f"{label} ({len(values)})")
        axes.axvline(HOP_MS, color="black", linestyle="--", label=f"hop: {HOP_MS:.1f} ms")
        axes.set(xscale="log", yscale="log", xlabel="ms per hop", ylabel="hops", title=shows)
        axes.legend()

    _picture(report, folder, name, shows, (9, 4.5), draw)


def timeline(
    report: Report,
    folder: Path,
    name: str,
    shows: str,
    times_s: Sequence[float],
    lanes: Mapping[str, Mapping[str, Sequence[float]]],
) -> None:
    """Draw lanes below each other over minutes, each with its labelled curves."""

    def draw(figure) -> None:
        minutes = np.asarray(times_s) / 60
        for row, (unit, curves) in enumerate(lanes.items()):
            axes = figure.add_subplot(len(lanes), 1, row + 1)
            for label, values in curves.items():
                axes.plot(minutes, values, label=label, linewidth=1)
            axes.set(ylabel=unit, ylim=(0, None))
            axes.legend(loc="upper left")
            if row == 0:
                axes.set_title(shows)
            if row == len(lanes) - 1:
                axes.set_xlabel("minutes")

    _picture(report, folder, name, shows, (9, 2.2 * len(lanes)), draw)


def _picture(report: Report, folder: Path, name: str, shows: str, size: tuple[float, float], draw) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        report.problem("no pictures without matplotlib: pip install matplotlib")
        return
    figure = Figure(figsize=size, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    draw(figure)
    folder.mkdir(parents=True, exist_ok=True)
    canvas.print_png(str(folder / name))
    report.pictures[name] = shows
