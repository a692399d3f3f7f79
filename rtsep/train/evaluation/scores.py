"""Score rows (one per stem, song and system), their means, and Markdown tables of both."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

LEGEND = """\
All values in dB. *SDR*: ratio of stem to error over the whole song, mean over songs. *1-s frames*: BSSEval v4 as in
museval, median over songs of the median over frames. *In pauses*: level of the estimate relative to the mixture in the
seconds without the stem. *Constant gain*: the mixture at the best constant gain; *ideal mask*: the power-ratio mask of
the true stems. A dash: no value. A stem that is silent throughout a song counts in no mean; the song's line has its
level relative to the mixture instead."""


@dataclass(frozen=True)
class Row:
    """Scores of one system for one stem, in a song or in all songs of a folder. In dB; None: no value.

    Attributes:
        song: None for all songs of the folder.
        system: "mixture", "constant gain", "ideal mask", or "K=1" for the network with chunks of one frame.
        latency: synthesis mode; None for systems without synthesis.
        songs: number of songs in which the stem is not silent. If 0, only `pause_db` has a value.
        sdr_db: of the whole song; mean over songs.
        median_sdr_db, median_isr_db, median_sir_db, median_sar_db: BSSEval v4, median over frames; over songs.
        pause_db: level of the estimate relative to the mixture in seconds without the stem; mean over songs.
    """

    folder: str
    song: str | None
    stem: str
    system: str
    latency: str | None
    songs: int
    sdr_db: float | None
    median_sdr_db: float | None
    median_isr_db: float | None
    median_sir_db: float | None
    median_sar_db: float | None
    pause_db: float | None


def overall(rows: Iterable[Row]) -> list[Row]:
    """A row for all songs of each folder, by stem, system and latency.

    Songs in which the stem is silent and infinite ratios (a mixture of a single stem) are left out.
    """
    groups: dict[tuple[str, str, str, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.folder, row.stem, row.system, row.latency), []).append(row)
    result = []
    for (folder, stem, system, latency), group in groups.items():
        sounding = [row for row in group if row.songs]

        def over(of: Callable[[list[float]], float], name: str, sounding: list[Row] = sounding) -> float | None:
            found = [getattr(row, name) for row in sounding]
            values = [value for value in found if value is not None and math.isfinite(value)]
            return of(values) if values else None

        mean, median = statistics.fmean, statistics.median
        result.append(
            Row(
                *(folder, None, stem, system, latency, len(sounding)),
                sdr_db=over(mean, "sdr_db"),
                median_sdr_db=over(median, "median_sdr_db"),
                median_isr_db=over(median, "median_isr_db"),
                median_sir_db=over(median, "median_sir_db"),
                median_sar_db=over(median, "median_sar_db"),
                pause_db=over(mean, "pause_db"),
            )
        )
    return result


def markdown(rows: Sequence[Row]) -> str:
    """Three tables (all songs of each folder, SDR of each song, median frame of each song) and a legend."""
    return "\n\n".join(
        [
            "All songs:",
            _overall_table(overall(rows)),
            LEGEND,
            "SDR of each song:",
            _song_table(rows, "sdr_db"),
            "SDR of each song, median of 1-s frames:",
            _song_table(rows, "median_sdr_db"),
        ]
    )


def _overall_table(rows: Iterable[Row]) -> str:
    head = ["folder", "stem", "system", "latency", "songs", "SDR"]
    head += [f"{name}, 1-s frames" for name in ("SDR", "ISR", "SIR", "SAR")] + ["in pauses"]
    return _table(
        head,
        4,
        [
            [row.folder, row.stem, row.system, row.latency or "", str(row.songs), _format(row.sdr_db)]
            + [_format(x) for x in (row.median_sdr_db, row.median_isr_db, row.median_sir_db, row.median_sar_db)]
            + [_format(row.pause_db, 1)]
            for row in rows
        ],
    )


def _song_table(rows: Sequence[Row], figure: str) -> str:
    """A line for each song, stem and latency: `figure` of every system, then details for the first chunk size.

    Of what was scored without that latency, the first row of the song and stem counts.
    """
    systems = list(dict.fromkeys(row.system for row in rows))
    first = next(system for system in systems if system.startswith("K="))
    latencies = list(dict.fromkeys(row.latency for row in rows if row.latency and row.system.startswith("K=")))
    found = {(row.folder, row.song, row.stem, row.system, row.latency): row for row in rows}
    anyhow = {(row.folder, row.song, row.stem, row.system): row for row in reversed(rows)}
    lines = []
    for folder, song, stem in dict.fromkeys((row.folder, row.song, row.stem) for row in rows):
        for latency in latencies:
            line = {
                system: found.get((folder, song, stem, system, latency)) or anyhow[folder, song, stem, system]
                for system in systems
            }
            values = {system: getattr(line[system], figure) for system in systems}
            net, gain = values[first], values["constant gain"]
            over_gain = None if net is None or gain is None else net - gain
            cells = [*map(_format, values.values()), _format(over_gain), _format(line[first].pause_db, 1)]
            lines.append([str(song), stem, latency, *cells])
    return _table(["song", "stem", "latency", *systems, f"{first} over gain", f"{first} in pauses"], 3, lines)


def _format(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _table(head: list[str], words: int, lines: list[list[str]]) -> str:
    """A Markdown table; the columns after the first `words` are right-aligned numbers."""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines))
