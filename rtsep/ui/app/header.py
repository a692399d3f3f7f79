"""The first row: state, time, song, and what the user must not overlook."""

from __future__ import annotations

from rich.style import Style

from rtsep.ui.app.drawn import ACCENT, DIM, PLAIN, STRONG, WARM, Drawn, Part
from rtsep.ui.app.protocol import Player
from rtsep.ui.status_line import clock
from rtsep.ui.text import cells, shorten

LEAST_SONG = 24
"""Cells for the name of the song, if it has as many, even if what stands at the right is left out then."""


class Header(Drawn):
    """One row."""

    _player: Player | None = None
    _song = _title = ""

    def update_player(self, player: Player, title: str, artist: str) -> None:
        """Show a state of the player."""
        self._player = player
        self._title = self.glyphs.text(title or player.file or "")
        self._song = f"{self._title} - {self.glyphs.text(artist)}" if title and artist else self._title
        self.show((self._left(player), self._song, self._right(player)))

    def row(self, number: int, width: int) -> list[Part]:
        player = self._player
        if player is None:
            return [("rtsep", STRONG)]
        left, right = self._left(player), self._right(player)
        room = width - cells(left) - 2 - sum(cells(text) + 2 for text, _ in right)
        while right and room < min(cells(self._title), LEAST_SONG):
            room += cells(right[-1][0]) + 2
            right = right[:-1]
        song = self._song if cells(self._song) <= room else shorten(self._title, max(room, 0))
        gap = " " * max(room - cells(song), 0)
        return [(left, STRONG), ("  " + song, PLAIN), (gap, PLAIN), *((f"  {text}", style) for text, style in right)]

    def _left(self, player: Player) -> str:
        glyph = self.glyphs.playing if player.playing else self.glyphs.paused
        if player.live is not None:
            return f"{self.glyphs.live if player.playing else self.glyphs.paused} live {clock(player.position_s)}"
        length = "?" if player.length_s is None else clock(player.length_s)
        return f"{glyph} {clock(player.position_s)}/{length}"

    def _right(self, player: Player) -> list[tuple[str, Style]]:
        """What matters most comes first; the rest is left out where there is no room."""
        parts = []
        if player.bypass:
            parts.append(("BYPASS", WARM + STRONG))
        if player.tracks > 1:
            parts.append((f"[{player.track + 1}/{player.tracks}]", ACCENT))
        if player.live is not None and player.live.recorded_s > 0:
            parts.append((f"recorded {clock(player.live.recorded_s)}", WARM))
        parts.append((self.glyphs.text(player.engine.network), DIM))
        return parts
