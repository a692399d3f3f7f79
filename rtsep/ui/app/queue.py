"""The queue: a list to look at, and a dialog to change it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.suggester import Suggester
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from rtsep.control.commands.queue import GoToSong, MoveSong, RemoveSong
from rtsep.ui.app.dialogs import Dialog
from rtsep.ui.app.drawn import PLAIN, STRONG, Drawn, Part, fitted
from rtsep.ui.app.glyphs import Glyphs
from rtsep.ui.app.protocol import AddSongs, QueuedSong, Request
from rtsep.ui.status_line import clock
from rtsep.ui.text import cells, shorten

HINT = "ENTER play  a add  d remove  K J move  ESC close"


class QueueView(Drawn):
    """The songs around the one that plays."""

    _songs: tuple[QueuedSong, ...] = ()
    _track = 0

    def update_queue(self, songs: list[QueuedSong], track: int) -> None:
        """Show the queue; `track` is the number of the song that plays."""
        self._songs, self._track = tuple(songs), track
        self.show((tuple(song.name for song in songs), track))

    def row(self, number: int, width: int) -> list[Part]:
        first = max(min(self._track - self.size.height // 2, len(self._songs) - self.size.height), 0)
        if first + number >= len(self._songs):
            return []
        track = first + number
        playing = track == self._track
        row = song_row(self.glyphs, track, self._songs[track], width - 2)
        return [(f"{self.glyphs.selected if playing else ' '} ", PLAIN), (row, STRONG if playing else PLAIN)]


class QueueList(OptionList):
    """The queue, to choose from."""

    BINDINGS: ClassVar = [
        Binding("a", "screen.add", "add"),
        Binding("d,delete", "screen.remove", "remove"),
        Binding("K,shift+up", "screen.move(-1)", "up"),
        Binding("J,shift+down", "screen.move(1)", "down"),
    ]

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(markup=False)
        self._glyphs = glyphs
        self._rows: list[str] = []

    def update_queue(self, songs: list[QueuedSong], track: int) -> None:
        """Show the queue; what is highlighted stays where it is."""
        rows = []
        for number, song in enumerate(songs):
            mark = self._glyphs.selected if number == track else " "
            rows.append(f"{mark} {song_row(self._glyphs, number, song, max(self.size.width - 4, 20))}")
        if rows != self._rows:
            at = track if self.highlighted is None else self.highlighted
            self._rows = rows
            self.set_options(Option(row) for row in rows)
            self.highlighted = min(at, len(rows) - 1) if rows else None


class QueueDialog(Dialog):
    """Plays, adds, removes and moves songs.

    Args:
        send: carries out what is chosen.
    """

    def __init__(self, glyphs: Glyphs, send: Callable[[Request], None]) -> None:
        super().__init__()
        self._glyphs, self._send = glyphs, send

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield QueueList(self._glyphs)
            yield Input(placeholder="a file or a folder", suggester=PathSuggester(), id="path")
            yield Static(HINT, markup=False)

    def on_mount(self) -> None:
        """The list has the keys."""
        self.query_one("#path").display = False
        self.query_one(QueueList).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Play a song."""
        self._send(GoToSong(event.option_index))

    def action_remove(self) -> None:
        """Remove the song that is highlighted."""
        if (number := self.query_one(QueueList).highlighted) is not None:
            self._send(RemoveSong(number))

    def action_move(self, step: int) -> None:
        """Move the song that is highlighted up or down."""
        songs = self.query_one(QueueList)
        if songs.highlighted is not None and 0 <= songs.highlighted + step < songs.option_count:
            self._send(MoveSong(songs.highlighted, songs.highlighted + step))
            songs.highlighted += step

    def action_add(self) -> None:
        """Ask for a file or a folder."""
        path = self.query_one("#path", Input)
        path.display = True
        path.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Add it."""
        if event.value:
            self._send(AddSongs([str(Path(event.value).expanduser())]))
        event.input.value = ""
        event.input.display = False
        self.query_one(QueueList).focus()


class PathSuggester(Suggester):
    """Completes the path of a file or a folder; the right arrow accepts."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The first name that begins so."""
        folder, begin = os.path.split(os.path.expanduser(value))
        try:
            with os.scandir(folder or ".") as entries:
                names = sorted(
                    entry.name + "/" * entry.is_dir()
                    for entry in entries
                    if entry.name.startswith(begin) and (begin or not entry.name.startswith("."))
                )
        except OSError:
            return None
        return value + names[0][len(begin) :] if names and value else None


def song_row(glyphs: Glyphs, number: int, song: QueuedSong, width: int) -> str:
    """Number, name and length of a song in `width` cells."""
    length = "?" if song.length_s is None else clock(song.length_s)
    label = f"{number + 1:>2} "
    room = max(width - cells(label) - len(length) - 1, 4)
    return label + fitted(shorten(glyphs.text(song.name), room), room) + f" {length}"
