"""The status line of the terminal player: pure text from a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtsep.timebase import SAMPLE_RATE

if TYPE_CHECKING:
    from rtsep.engine.latency import Latency
    from rtsep.player.faders import Fader
    from rtsep.player.snapshot import PlayerStatus

BARS = " ▁▂▃▄▅▆▇█"
BAR_WIDTH = 3
FLOOR_DB = -54.0


def clock(seconds: float) -> str:
    """65.4 -> 1:05, 3700 -> 1:01:40."""
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def level_bar(level_db: float) -> str:
    """A level as a bar of three characters, empty at -54 dB, full at 0."""
    filled = round((1.0 - max(min(level_db, 0.0), FLOOR_DB) / FLOOR_DB) * BAR_WIDTH * (len(BARS) - 1))
    return "".join(BARS[min(max(filled - cell * (len(BARS) - 1), 0), len(BARS) - 1)] for cell in range(BAR_WIDTH))


def _parts_text(latency: Latency) -> str:
    """Algorithmic + margin + device."""
    parts = (latency.algorithmic, latency.margin, latency.device)
    return " + ".join(f"{part * 1000 / SAMPLE_RATE:.0f}" for part in parts)


def latency_text(latency: Latency) -> str:
    """What is felt when a file plays, and what the same settings would mean live.

    A file is read ahead and its stems are mixed last of all, so that a fader waits for the device alone.
    """
    device = f"{latency.device * 1000 / SAMPLE_RATE:.0f}"
    return f"faders {device} ms (live {_parts_text(latency)} ms)"


def live_latency_text(latency: Latency) -> str:
    """From the microphone to the loudspeaker, in three parts."""
    return f"latency {latency.total * 1000 / SAMPLE_RATE:.0f} ms ({_parts_text(latency)})"


def _fader_text(number: int, stem: str, fader: Fader, level_db: float, selected: bool) -> str:
    gain = "muted" if fader.muted or fader.gain_db == float("-inf") else f"{fader.gain_db:+.0f} dB"
    marks = (" solo" if fader.solo else "") + ("" if gain == "+0 dB" else f" {gain}")
    return f"{'>' if selected else ''}{number} {stem} {level_bar(level_db)}{marks}"


def status_line(status: PlayerStatus, selected: int) -> str:
    """One line: position, song of the queue, loop and cue, stems, what was late, latency in its parts.

    What matters most comes first, since a narrow terminal cuts the end. `selected`: the stem that + and -
    move.
    """
    mark = "▶" if status.playing else "Ⅱ"
    length = "live" if status.live is not None else "?" if status.length_s is None else clock(status.length_s)
    parts = [f"{mark} {clock(status.position_s)}/{length}"]
    if status.tracks > 1 and status.file is not None:
        parts.append(f"[{status.track + 1}/{status.tracks}] {status.file.name}")
    if status.loop_s is not None:
        begin_s, end_s = status.loop_s
        parts.append(f"loop {clock(begin_s)}-{'' if end_s is None else clock(end_s)}")
    if status.cue_s is not None:
        parts.append(f"cue {clock(status.cue_s)}")
    parts += [
        _fader_text(index + 1, stem, status.faders[index], status.levels_db[index], index == selected)
        for index, stem in enumerate(status.stems)
    ]
    if status.bypass:
        parts.append("BYPASS")
    if status.volume_db != 0.0:
        parts.append(f"volume {status.volume_db:+.0f} dB")
    parts.append(f"late {status.engine.late_hops + status.engine.skipped_hops} hops {status.late_blocks} blocks")
    parts.append((latency_text if status.live is None else live_latency_text)(status.latency))
    if status.clipped_samples:
        parts.append(f"limited {status.clipped_samples}")
    if status.live is not None and status.live.recorded_s > 0:
        parts.append(f"recorded {clock(status.live.recorded_s)}")
    if status.engine.restarts:
        parts.append(f"restarts {status.engine.restarts}")
    return "  ".join(parts)
