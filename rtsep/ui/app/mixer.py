"""A row for each stem: name, mute, solo, fader and meter; and one for the output. All of it can be clicked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from rich.style import Style
from textual import events

from rtsep.control.commands import mixing
from rtsep.control.commands.base import Command
from rtsep.control.commands.mixing import MAX_GAIN_DB, MIN_GAIN_DB
from rtsep.ui.app.drawn import ACCENT, DIM, GOOD, HOT, PLAIN, STRONG, WARM, Drawn, Part, fitted
from rtsep.ui.app.glyphs import Glyphs
from rtsep.ui.app.protocol import Levels, Player, State
from rtsep.ui.text import shorten

FLOOR_DB = -60.0
"""Where a meter is empty; it is full at 0 dB."""
WARM_DB, HOT_DB = -12.0, -3.0
PEAK_FALLS_DB = 0.7
"""Of a frame: the mark of the highest level comes down by 14 dB a second."""
CLIP_HOLD_S = 3.0
"""How long a level is red after a peak above 0 dB."""
TAPER = 2.0
STEP_DB = 1.0


class Columns(NamedTuple):
    """Where the parts of a row begin; a meter takes what is left."""

    name: int
    mute: int
    solo: int
    fader: int
    gain: int
    meter: int
    level: int
    width: int


def columns(width: int) -> Columns:
    """The parts of a row in a widget of this width."""
    name = 13 if width >= 60 else 7
    fader = 8 if width < 60 else 17 if width < 100 else 25
    gain, level = (9, 7) if width >= 60 else (4, 0)
    mute = 3 + name
    begin = mute + 6 + (width >= 60)
    return Columns(3, mute, mute + 3, begin, begin + fader, begin + fader + gain, width - level, width)


def fader_share(gain_db: float) -> float:
    """Where the knob of a fader stands, 0 to 1; finer near 0 dB than far below."""
    return (max(gain_db - MIN_GAIN_DB, 0.0) / (MAX_GAIN_DB - MIN_GAIN_DB)) ** TAPER


def fader_gain_db(share: float) -> float | None:
    """The gain at a place of a fader, in steps of half a dB; None (silence) at its lower end."""
    if share <= 0:
        return None
    gain_db = MIN_GAIN_DB + min(share, 1.0) ** (1 / TAPER) * (MAX_GAIN_DB - MIN_GAIN_DB)
    return round(2 * gain_db) / 2


class MixerView(Drawn):
    """Rows of stems, and of the output with its volume."""

    def __init__(self, glyphs: Glyphs, do: Callable[[Command], None], **settings: object) -> None:
        super().__init__(glyphs, **settings)
        self._do = do
        self._state: State | None = None
        self._peaks_db: list[float] = []
        self._clipped_s: list[float] = []
        """When each meter last saw a peak above 0 dB."""
        self._dragged: int | None = None

    def update_state(self, state: State) -> None:
        """Show a state of the player."""
        player = state.player
        if self._state is None or self._state.player.stems != player.stems:
            self._peaks_db = [FLOOR_DB] * (len(player.stems) + 1)
            self._clipped_s = [float("-inf")] * (len(player.stems) + 1)
            self.styles.height = len(player.stems) + 1
        self._state = state
        for number, levels in enumerate((*player.levels, player.output)):
            self._peaks_db[number] = max(levels.peak_db, self._peaks_db[number] - PEAK_FALLS_DB)
            if levels.peak_db > 0.0:
                self._clipped_s[number] = time.monotonic()
        width = self.size.width
        for number in range(len(player.stems) + 1):
            self.show(self.row(number, width), number)

    def row(self, number: int, width: int) -> list[Part]:
        if self._state is None:
            return []
        player = self._state.player
        if number == len(player.stems):
            return self._output(player, columns(width))
        return self._stem(player, number, self._state.selected == number, columns(width))

    # -- mouse -----------------------------------------------------------------------------------------------

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Mute, solo, select, or take a fader."""
        state, at = self._state, columns(self.size.width)
        if state is None:
            return
        stem, is_stem = event.y, event.y < len(state.player.stems)
        if at.fader <= event.x < at.gain:
            self._dragged = event.y
            self.capture_mouse()
            self._move_fader(event.y, event.x)
        elif is_stem and at.mute <= event.x < at.solo:
            self._do(mixing.ToggleMute(stem))
        elif is_stem and at.solo <= event.x < at.fader:
            self._do(mixing.ToggleSolo(stem))
        elif is_stem and event.x < at.mute:
            self._do(mixing.Select(stem))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Move the fader that is held."""
        if self._dragged is not None:
            self._move_fader(self._dragged, event.x)

    def on_mouse_up(self) -> None:
        """Let go of the fader."""
        self._dragged = None
        self.release_mouse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """A step louder."""
        self._step(event.y, STEP_DB)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """A step softer."""
        self._step(event.y, -STEP_DB)

    def _step(self, row: int, step_db: float) -> None:
        if self._state is not None:
            is_stem = row < len(self._state.player.stems)
            self._do(mixing.ChangeGain(step_db, row) if is_stem else mixing.ChangeVolume(step_db))

    def _move_fader(self, row: int, x: int) -> None:
        at = columns(self.size.width)
        gain_db = fader_gain_db((x - at.fader) / max(at.gain - at.fader - 2, 1))
        assert self._state is not None
        if row < len(self._state.player.stems):
            self._do(mixing.SetGain(row, gain_db))
        else:
            self._do(mixing.SetVolume(MIN_GAIN_DB if gain_db is None else gain_db))

    # -- rows ------------------------------------------------------------------------------------------------

    def _stem(self, player: Player, number: int, selected: bool, at: Columns) -> list[Part]:
        fader = player.faders[number]
        style = STRONG if selected else PLAIN
        name = fitted(shorten(self.glyphs.text(player.stems[number]), at.mute - at.name - 1), at.mute - at.name)
        return [
            (f"{self.glyphs.selected if selected else ' '}{number + 1} "[:3], ACCENT + style),
            (name, style),
            ("[M]" if fader.muted else " M ", HOT + STRONG if fader.muted else DIM),
            (fitted("[S]" if fader.solo else " S ", at.fader - at.solo), WARM + STRONG if fader.solo else DIM),
            *self._fader(fader.gain_db, at, DIM if fader.silent else PLAIN),
            *self._meter(number, player.levels[number], at),
        ]

    def _output(self, player: Player, at: Columns) -> list[Part]:
        return [
            (" " * 3 + fitted("output", at.fader - at.name), DIM),
            *self._fader(player.volume_db, at, PLAIN),
            *self._meter(len(player.stems), player.output, at),
        ]

    def _fader(self, gain_db: float, at: Columns, style: Style) -> list[Part]:
        """The track with its knob, and the gain in dB."""
        width = at.gain - at.fader - 1
        track = [self.glyphs.track] * width
        track[round(fader_share(0.0) * (width - 1))] = self.glyphs.unity
        knob = round(fader_share(gain_db) * (width - 1))
        wide = at.meter - at.gain > 4
        if gain_db == float("-inf"):
            text = "off"
        else:
            text = f"{gain_db:+.1f} dB" if wide else f"{gain_db:+.0f}"
        return [
            ("".join(track[:knob]), DIM),
            (self.glyphs.knob, ACCENT + style),
            ("".join(track[knob + 1 :]) + " ", DIM),
            (fitted(text, at.meter - at.gain), style),
        ]

    def _meter(self, number: int, levels: Levels, at: Columns) -> list[Part]:
        """RMS as a bar, green, yellow and red; a mark at the highest peak of the last moments; the RMS in dB."""
        width, peak_db = at.level - at.meter, self._peaks_db[number]
        fills = self.glyphs.fills
        steps = len(fills) - 1
        filled = round(_share(levels.rms_db) * width * steps)
        peak = min(int(_share(peak_db) * width), width - 1)
        clipped = time.monotonic() - self._clipped_s[number] < CLIP_HOLD_S
        parts: list[Part] = []
        for cell in range(width):
            count = min(max(filled - cell * steps, 0), steps)
            cell_db = FLOOR_DB * (1 - (cell + 0.5) / width)
            style = HOT if cell_db >= HOT_DB else WARM if cell_db >= WARM_DB else GOOD
            mark = count == 0 and cell == peak and peak_db > FLOOR_DB
            if clipped and cell == width - 1:
                parts.append((self.glyphs.clip, HOT + STRONG))
            else:
                parts.append((self.glyphs.peak if mark else fills[count], style))
        level = f"{levels.rms_db:.1f}" if levels.rms_db > FLOOR_DB else "-inf"
        return [*parts, (level.rjust(at.width - at.level) if at.level < at.width else "", DIM)]


def _share(level_db: float) -> float:
    return min(max(1 - level_db / FLOOR_DB, 0.0), 1.0)
