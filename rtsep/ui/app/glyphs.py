"""The characters that the app draws with: blocks and arrows, or ASCII where the locale has no UTF-8."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from rtsep.ui.text import printable


@dataclass(frozen=True)
class Glyphs:
    """Characters by their use.

    Attributes:
        bars: from empty to full, for levels of a column.
        fills: the same for a row.
        loop: its beginning, what lies within, its end.
        shades: from quiet to loud, for a spectrogram without colours.
        ascii: whether all are ASCII, and text must be too.
    """

    playing: str = "▶"
    paused: str = "Ⅱ"
    live: str = "●"
    bars: str = " ▁▂▃▄▅▆▇█"
    fills: str = " ▏▎▍▌▋▊▉█"
    peak: str = "│"
    clip: str = "!"
    track: str = "─"
    unity: str = "┼"
    knob: str = "█"
    head: str = "│"
    loop: str = "┣━┫"
    cue: str = "◆"
    selected: str = "▸"
    half: str = "▀"
    shades: str = " .:-=+*#%@"
    ellipsis: str = "…"
    ascii: bool = False

    def text(self, text: object) -> str:
        """Text from outside as this terminal can show it, on one line."""
        shown = printable(text)
        return shown.encode("ascii", "replace").decode() if self.ascii else shown


UNICODE = Glyphs()
ASCII = Glyphs(
    playing=">",
    paused="=",
    live="*",
    bars=" .:-=+*#@",
    fills="    ====#",
    peak="|",
    track="-",
    unity="+",
    knob="O",
    head="|",
    loop="[=]",
    cue="^",
    selected=">",
    half="#",
    ellipsis="~",
    ascii=True,
)


def glyphs_of(environment: Mapping[str, str] = os.environ) -> Glyphs:
    """Those of the locale that the user has set; with none set, as in many containers, UTF-8 is assumed."""
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "UTF-8")
    return UNICODE if "utf8" in locale.lower().replace("-", "") else ASCII
