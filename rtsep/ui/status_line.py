"""The status line of the terminal player, as text from a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtsep.timebase import SAMPLE_RATE
from rtsep.ui.text import cells, printable, shorten

if TYPE_CHECKING:
    from rtsep.engine.latency import Latency
    from rtsep.player.faders import Fader
    from rtsep.player.snapshot import PlayerSnapshot

BARS = " ▁▂▃▄▅▆▇█"
BAR_WIDTH = 3
FLOOR_DB = -54.0
LEAST_NAME = 30
"""Cells for number and name of a song, even if counters and latency are cut off then."""
SHORTEST_NAME = 5
LEAST_LINE = 16
"""Cells for a line of the lyrics; counters and latency are cut off while it is sung."""
SHORT_STEM = 3


def clock(seconds: float) -> str:
    """Format seconds: 65.4 -> 1:05, 3700 -> 1:01:40."""
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def level_bar(level_db: float, width: int = BAR_WIDTH) -> str:
    """A level as a bar of `width` characters, empty at -54 dB, full at 0."""
    filled = round((1.0 - max(min(level_db, 0.0), FLOOR_DB) / FLOOR_DB) * width * (len(BARS) - 1))
    return "".join(BARS[min(max(filled - cell * (len(BARS) - 1), 0), len(BARS) - 1)] for cell in range(width))


def _latency_parts(latency: Latency) -> str:
    """Algorithmic + margin + device."""
    parts = (latency.algorithmic, latency.margin, latency.device)
    return " + ".join(f"{part * 1000 / SAMPLE_RATE:.0f}" for part in parts)


def latency_text(latency: Latency) -> str:
    """The delay of a fader while a file plays, and the latency that the same settings would have live.

    A file is read ahead and its stems are mixed last of all, so a fader waits for the device alone, and for what has
    been brought to another speed or key already.
    """
    faders = f"{(latency.device + latency.practice) * 1000 / SAMPLE_RATE:.0f}"
    return f"faders {faders} ms (live {_latency_parts(latency)} ms)"


def live_latency_text(latency: Latency) -> str:
    """The latency from input to output, in three parts."""
    return f"latency {latency.total * 1000 / SAMPLE_RATE:.0f} ms ({_latency_parts(latency)})"


def status_line(status: PlayerSnapshot, selected: int, columns: int) -> str:
    """Return position, song of the queue, loop and cue, stems, late hops and blocks, and latency in its parts.

    The line may be longer than `columns`, and what matters least comes last. All faders fit, however long the name.

    Args:
        selected: the stem that + and - change.
        columns: cells of the terminal that the line will be cut to.
    """
    position, marks, counters = _position(status), _marks(status), _counters(status)
    fixed = [*marks, *_faders(status, selected, compact=False)]
    if _width(position, *fixed) > columns + 1:
        fixed = [*_faders(status, selected, compact=True), *marks]
    room = columns - 1 - _width(position, *fixed)
    song = _song(status, min(room, max(room - _width(*counters), LEAST_NAME)))
    line = _sung(status, room - _width(*song))
    return "  ".join((position, *song, *fixed, *line, *counters))


def _width(*parts: str) -> int:
    """Cells of `parts` and the two spaces after each."""
    return sum(cells(part) + 2 for part in parts)


def _position(status: PlayerSnapshot) -> str:
    length = "live" if status.live is not None else "?" if status.length_s is None else clock(status.length_s)
    return f"{'▶' if status.playing else 'Ⅱ'} {clock(status.position_s)}/{length}"


def _song(status: PlayerSnapshot, room: int) -> list[str]:
    """Number and name in the queue, shortened to `room` cells with the spaces after it."""
    if status.tracks <= 1 or status.file is None:
        return []
    number = f"[{status.track + 1}/{status.tracks}]"
    left = room - cells(number) - 3
    if left < SHORTEST_NAME:
        return [number] if _width(number) <= room else []
    return [f"{number} {shorten(printable(status.file.name), left)}"]


def _sung(status: PlayerSnapshot, room: int) -> list[str]:
    """The line of the lyrics that is sung, shortened to `room` cells, if that is enough to read it."""
    if status.sung is None or not status.sung.text or room < LEAST_LINE:
        return []
    return [shorten(printable(status.sung.text), room)]


def _marks(status: PlayerSnapshot) -> list[str]:
    """Speed, key, loop and cue point, if they are set."""
    marks = []
    if status.speed != 1.0:
        marks.append(f"speed {status.speed:.2f}")
    if status.key != 0.0:
        marks.append(f"key {status.key:+g}")
    if status.loop_s is not None:
        start_s, end_s = status.loop_s
        marks.append(f"loop {clock(start_s)}-{'' if end_s is None else clock(end_s)}")
    if status.cue_s is not None:
        marks.append(f"cue {clock(status.cue_s)}")
    return marks


def _faders(status: PlayerSnapshot, selected: int, compact: bool) -> list[str]:
    """A part for each stem; and bypass and volume where they are set."""
    text = _compact_fader if compact else _fader
    parts = [
        ">" * (index == selected) + f"{index + 1} {text(stem, status.faders[index], status.levels[index].rms_db)}"
        for index, stem in enumerate(status.stems)
    ]
    if status.bypass:
        parts.append("BYPASS")
    if status.volume_db != 0.0:
        parts.append(f"volume {status.volume_db:+.0f} dB")
    return [" ".join(parts)] if compact else parts


def _fader(stem: str, fader: Fader, level_db: float) -> str:
    solo = " solo" if fader.solo else ""
    if fader.silent:
        return f"{stem}{solo} muted"
    return f"{stem} {level_bar(level_db)}{solo}" + (f" {fader.gain_db:+.0f} dB" if round(fader.gain_db) else "")


def _compact_fader(stem: str, fader: Fader, level_db: float) -> str:
    """Three letters of the stem; M, S as on a mixing desk."""
    solo, name = "S" if fader.solo else "", stem[:SHORT_STEM]
    if fader.silent:
        return f"{name} {solo}M"
    return f"{name} {level_bar(level_db, 1)}{solo}" + (f"{fader.gain_db:+.0f}" if round(fader.gain_db) else "")


def _counters(status: PlayerSnapshot) -> list[str]:
    late_hops = status.engine.late_hops + status.engine.skipped_hops
    parts = [
        f"late {late_hops} hops {status.late_blocks} blocks",
        (latency_text if status.live is None else live_latency_text)(status.latency),
    ]
    if status.clipped_samples:
        parts.append(f"limited {status.clipped_samples}")
    if status.live is not None and status.live.recorded_s > 0:
        parts.append(f"recorded {clock(status.live.recorded_s)}")
    if status.engine.restarts:
        parts.append(f"restarts {status.engine.restarts}")
    parts.append(status.engine.network)
    return parts
