"""The spectrogram of the mixture or of a stem, scrolling: two bands in each row, the newest column at the right."""

from __future__ import annotations

import numpy as np
from rich.color import Color
from rich.style import Style

from rtsep.ui.app.drawn import STRONG, Drawn, Part
from rtsep.ui.app.glyphs import Glyphs
from rtsep.ui.app.protocol import Spectrum

FLOOR_DB, TOP_DB = -80.0, -10.0
KEPT = 512
"""Columns that are remembered: wider than any terminal's half."""
STOPS = ((0, 0, 0), (40, 0, 80), (140, 20, 90), (220, 70, 40), (250, 180, 40), (255, 255, 210))
"""Colours from quiet to loud, evenly spaced; their lightness only grows."""
SHADES = 48
_places = np.linspace(0, len(STOPS) - 1, SHADES)
COLOURS = [
    Color.from_rgb(*rgb)
    for rgb in np.stack([np.interp(_places, range(len(STOPS)), part) for part in np.transpose(STOPS)], axis=1).tolist()
]


class SpectrogramView(Drawn):
    """Columns as they come. A name in the first row says of what; the cell's upper and lower half are two bands."""

    def __init__(self, glyphs: Glyphs, **settings: object) -> None:
        super().__init__(glyphs, **settings)
        self._source = 0
        self._label = ""
        self._columns = np.zeros((0, 1), np.float32)
        self._count = 0
        self._picture = np.zeros((0, 0), int)

    @property
    def source(self) -> int:
        """What is shown: 0 for the mixture, then the stems."""
        return self._source

    def next_source(self, sources: int) -> None:
        """Show the next stem, or the mixture again."""
        self._source = (self._source + 1) % sources
        self._columns = self._columns[:0]
        self._count += 1

    def update_spectrum(self, spectrum: Spectrum | None, name: str) -> None:
        """Append columns; a column takes one cell."""
        self._label = self.glyphs.text(name)
        if spectrum is not None and spectrum.source == self._source and spectrum.levels_db:
            levels = np.frombuffer(spectrum.levels_db, np.float32).reshape(-1, spectrum.bands)
            kept = self._columns if self._columns.shape[1] == spectrum.bands else levels[:0]
            self._columns = np.concatenate([kept, levels])[-KEPT:]
            self._count += len(levels)
        size = self.size.width, self.size.height
        if self.display and (self._count, self._label, size) != self._shown.get(None):
            self._paint(*size)
            self.show((self._count, self._label, size))

    def _paint(self, width: int, height: int) -> None:
        """Shades (2 * rows, cells) of what fits, the highest band first."""
        columns = self._columns[-width:]
        bands = columns.shape[1]
        edges = np.linspace(0, bands, 2 * height + 1).astype(int)[:-1]
        levels = np.maximum.reduceat(columns, np.minimum(edges, bands - 1), axis=1).T[::-1] if len(columns) else None
        self._picture = np.zeros((2 * height, width), int)
        if levels is not None:
            shares = np.clip((np.nan_to_num(levels, nan=FLOOR_DB) - FLOOR_DB) / (TOP_DB - FLOOR_DB), 0, 1)
            self._picture[:, width - len(columns) :] = np.rint(shares * (SHADES - 1))

    def row(self, number: int, width: int) -> list[Part]:
        if 2 * number + 1 >= len(self._picture):
            return []
        name = f" {self._label} " if number == 0 else ""
        upper, lower = self._picture[2 * number : 2 * number + 2, len(name) :]
        if self.glyphs.ascii or self.app.no_color:
            shades = self.glyphs.shades
            loudest = np.maximum(upper, lower) * (len(shades) - 1) // (SHADES - 1)
            return [(name, STRONG), ("".join(shades[shade] for shade in loudest), Style())]
        cells = [(self.glyphs.half, _style(int(top), int(bottom))) for top, bottom in zip(upper, lower, strict=True)]
        return [(name, STRONG), *cells]


def _style(top: int, bottom: int) -> Style:
    if (top, bottom) not in _styles:
        _styles[top, bottom] = Style(color=COLOURS[top], bgcolor=COLOURS[bottom])
    return _styles[top, bottom]


_styles: dict[tuple[int, int], Style] = {}
