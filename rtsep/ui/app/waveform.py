"""The song at a glance: its waveform, the play head, the loop and the cue. A click jumps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rich.style import Style
from textual import events

from rtsep.control.commands.base import Command
from rtsep.control.commands.navigation import Seek
from rtsep.ui.app.drawn import DIM, PLAIN, STRONG, WARM, Drawn, Part
from rtsep.ui.app.glyphs import Glyphs
from rtsep.ui.app.protocol import Player, Waveform
from rtsep.ui.status_line import clock

LOWEST, HIGHEST, RMS = range(3)
PLAYED, TO_COME = Style(color="bright_cyan"), PLAIN
PLAYED_PEAK, PEAK_TO_COME = "cyan", "bright_black"
HEAD = STRONG + Style(reverse=True)


class WaveformView(Drawn):
    """Levels of the whole song above, times and marks in the last row."""

    def __init__(self, glyphs: Glyphs, do: Callable[[Command], None], **settings: object) -> None:
        super().__init__(glyphs, **settings)
        self._do = do
        self._player: Player | None = None
        self._heights = np.zeros((0, 2), np.float32)
        self._version = ""

    def update_player(self, player: Player, waveform: Waveform | None) -> None:
        """Show a state of the player; `waveform` None: as before."""
        self._player = player
        if waveform is not None:
            self._version = waveform.version
            levels = np.frombuffer(waveform.levels, np.float32).reshape(-1, 3)
            peaks = np.maximum(np.abs(levels[:, LOWEST]), np.abs(levels[:, HIGHEST]))
            self._heights = np.stack([peaks, levels[:, RMS]], axis=1)
        marks = player.loop_s, player.cue_s, player.length_s
        self.show((self._version, marks, self._cell(player.position_s), clock(player.position_s)))

    def row(self, number: int, width: int) -> list[Part]:
        if self._player is None:
            return []
        rows = self.size.height - 1
        return self._marks(self._player, width) if number == rows else self._bars(rows - 1 - number, rows, width)

    def on_click(self, event: events.Click) -> None:
        """Jump to where the pointer is."""
        length_s = None if self._player is None else self._player.length_s
        if length_s:
            self._do(Seek(length_s * (event.x + 0.5) / max(self.size.width, 1)))

    def _cell(self, position_s: float) -> int:
        """The column at a time of the song."""
        length_s = None if self._player is None else self._player.length_s
        width = self.size.width
        return 0 if not length_s else min(max(int(position_s / length_s * width), 0), width - 1)

    def _bars(self, level: int, rows: int, width: int) -> list[Part]:
        """A row of bars, `level` rows above the lowest one."""
        assert self._player is not None
        head = self._cell(self._player.position_s)
        bars = self.glyphs.bars
        steps = len(bars) - 1
        filled = np.nan_to_num(self._heights[:width]) * rows * steps - level * steps
        counts = np.clip(np.rint(filled), 0, steps).astype(int)
        parts: list[Part] = []
        for cell, (peak, rms) in enumerate(counts):
            if cell == head:
                parts.append((self.glyphs.head, HEAD))
                continue
            inner, outer = (PLAYED, PLAYED_PEAK) if cell < head else (TO_COME, PEAK_TO_COME)
            if rms == 0:
                parts.append((bars[peak], Style(color=outer)))
            elif peak == steps:
                parts.append((bars[rms], inner + Style(bgcolor=outer)))
            else:  # the end of the outer bar, not a step above the inner one: one colour has to do
                parts.append((bars[peak], inner))
        return parts

    def _marks(self, player: Player, width: int) -> list[Part]:
        """Times at both ends, and between them the loop, the cue and the play head."""
        row = [" "] * width
        end = "?" if player.length_s is None else clock(player.length_s)
        row[: len("0:00")], row[width - len(end) :] = "0:00", end
        if player.loop_s is not None:
            begin_s, end_s = player.loop_s
            first = self._cell(begin_s)
            last = first if end_s is None else self._cell(end_s)
            row[first : last + 1] = self.glyphs.loop[1] * (last + 1 - first)
            row[last] = self.glyphs.loop[2] if end_s is not None else row[last]
            row[first] = self.glyphs.loop[0]
        if player.cue_s is not None:
            row[self._cell(player.cue_s)] = self.glyphs.cue
        marks = {*self.glyphs.loop, self.glyphs.cue}
        return [(letter, WARM if letter in marks else DIM) for letter in row[:width]]
