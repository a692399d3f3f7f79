"""What was found in each source of training material, and what was left out and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtsep.train_settings import DataSource


@dataclass(frozen=True)
class Skipped:
    """A song, or what looked like one, that is not used."""

    name: str
    reason: str


@dataclass
class SourceReport:
    """One source.

    Attributes:
        songs: that are used; of these `partly` tell some of the recipe's stems only.
        set_aside: for the other purpose: kept for evaluation while training, for training while evaluating.
        notes: what else there is to say, a line each.
    """

    source: DataSource
    songs: int = 0
    seconds: float = 0.0
    partly: int = 0
    set_aside: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class DataReport:
    """All sources of a recipe. Its text is a table, with a line below it for everything that was skipped."""

    sources: list[SourceReport] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [("source", "layout", "songs", "hours", "partly labelled", "set aside", "skipped")]
        rows += [
            (
                of.source.folder,
                of.source.layout + (", teacher" if of.source.labels == "teacher" else ""),
                str(of.songs),
                f"{of.seconds / 3600:.2f}",
                str(of.partly),
                str(of.set_aside),
                str(len(of.skipped)),
            )
            for of in self.sources
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        lines += [f"{of.source.folder}: {note}" for of in self.sources for note in of.notes]
        lines += [
            f"{of.source.folder}: skipped {song.name}: {song.reason}" for of in self.sources for song in of.skipped
        ]
        return "\n".join(lines)
