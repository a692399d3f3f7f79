"""The report of what was found in each source of training data, what was left out, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rtsep.train_settings import DataSource


@dataclass(frozen=True)
class SkippedSong:
    """A song, or what looked like one, that is not used."""

    name: str
    reason: str


@dataclass
class SourceReport:
    """The report of one source.

    Attributes:
        folders: where the source was found.
        songs: how many songs are used; `partly` of them do not have all of the recipe's stems.
        set_aside: songs for the other purpose: held out while training, for training while evaluating.
        notes: further remarks, one line each.
    """

    source: DataSource
    folders: list[Path] = field(default_factory=list)
    songs: int = 0
    seconds: float = 0.0
    partly: int = 0
    set_aside: int = 0
    skipped: list[SkippedSong] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class DataReport:
    """The reports of all sources: a table, followed by a line for each note and each skipped song."""

    sources: list[SourceReport] = field(default_factory=list)

    @property
    def has_remarks(self) -> bool:
        """Whether there is a note or a skipped song."""
        return any(report.skipped or report.notes for report in self.sources)

    def lines(self) -> list[str]:
        """The text; names of files are in it as they are, with whatever characters they have."""
        rows = [("source", "layout", "songs", "hours", "partly labelled", "set aside", "skipped")]
        rows += [
            (
                report.source.folder,
                report.source.layout + (", teacher" if report.source.labels == "teacher" else ""),
                str(report.songs),
                f"{report.seconds / 3600:.2f}",
                str(report.partly),
                str(report.set_aside),
                str(len(report.skipped)),
            )
            for report in self.sources
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        for report in self.sources:
            lines += [f"{report.source.folder}: {note}" for note in report.notes]
        for report in self.sources:
            lines += [f"{report.source.folder}: skipped {song.name}: {song.reason}" for song in report.skipped]
        return lines
