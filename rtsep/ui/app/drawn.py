"""A widget that draws rows of cells itself, and only when what it shows has changed."""

from __future__ import annotations

from typing import Any, cast

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from rtsep.ui.app.glyphs import Glyphs
from rtsep.ui.text import cells, cut

PLAIN = Style()
DIM = Style(dim=True)
STRONG = Style(bold=True)
GOOD, WARM, HOT = Style(color="green"), Style(color="yellow"), Style(color="red")
ACCENT = Style(color="cyan")
"""Colours by name: the terminal's own, which its user can read, whether it is light or dark."""

Part = tuple[str, Style]


class Drawn(Widget):
    """Subclasses say what a row shows in `row`, and call `show` with all that this depends on."""

    def __init__(self, glyphs: Glyphs, **settings: Any) -> None:
        super().__init__(**settings)
        self.glyphs = glyphs
        self._shown: dict[int | None, object] = {}

    def show(self, what: object, row: int | None = None) -> None:
        """Redraw the widget, or one row of it, unless it shows just this already."""
        if self._shown.get(row) != what:
            self._shown[row] = what
            if row is None:
                self.refresh()
            else:
                self.refresh(Region(0, row, self.size.width, 1))

    def row(self, number: int, width: int) -> list[Part]:
        """What stands in a row, from the left."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """The row `y`, cut or filled up to the width."""
        width = self.size.width
        base = cast(Style, self.rich_style)
        return Strip([Segment(text, base + style) for text, style in self.row(y, width) if text]).adjust_cell_length(
            width, base
        )


def fitted(text: str, width: int) -> str:
    """Text in exactly `width` cells."""
    shown = cut(text, width)
    return shown + " " * (width - cells(shown))
