"""The panels below the mixer: latency and health, and messages."""

from __future__ import annotations

from rich.style import Style

from rtsep.timebase import HOP, SAMPLE_RATE
from rtsep.ui.app.drawn import DIM, HOT, PLAIN, WARM, Drawn, Part
from rtsep.ui.app.protocol import Latency, Player
from rtsep.ui.text import cells, cut

HOP_MS = 1000 * HOP / SAMPLE_RATE
LABEL = 10
KEPT_LINES = 100


class HealthView(Drawn):
    """Latency in its parts, the network's time, and everything that was late."""

    _rows: tuple[tuple[str, str, Style], ...] = ()

    def update_player(self, player: Player, cpu_percent: float) -> None:
        """Show a state of the player; `cpu_percent`: see `Update`."""
        self._rows = tuple(health(player, cpu_percent))
        self.show(self._rows)

    def row(self, number: int, width: int) -> list[Part]:
        if number >= len(self._rows):
            return []
        label, text, style = self._rows[number]
        return [(f"{label:<{LABEL}}", DIM), (self.glyphs.text(text), style)]


def health(player: Player, cpu_percent: float) -> list[tuple[str, str, Style]]:
    """Label, text and style of each row; what matters most comes first."""
    engine, live = player.engine, player.live
    late = engine.late_hops + engine.skipped_hops + player.late_blocks
    busy = engine.compute_p99_ms / HOP_MS
    silence = f"{player.starved_s:.1f} s of silence" + (f", {live.overflows} overflows" if live is not None else "")
    rows = [
        ("latency", latency_text(player.latency, live is not None), PLAIN),
        (
            "hop",
            f"p50 {engine.compute_p50_ms:.1f} ms, p99 {engine.compute_p99_ms:.1f} ms of {HOP_MS:.1f} ms",
            HOT if busy > 1 else WARM if busy > 0.7 else PLAIN,
        ),
        (
            "late",
            f"{engine.late_hops} hops, {engine.skipped_hops} skipped, {player.late_blocks} blocks",
            WARM if late else PLAIN,
        ),
        ("underruns", silence, WARM if player.starved_s > 0 else PLAIN),
        ("CPU", f"player {cpu_percent:.0f} %, network {100 * engine.compute_p50_ms / HOP_MS:.0f} % of a core", PLAIN),
        ("network", f"{engine.network} ({engine.state}, chunk {engine.chunk})", PLAIN),
        (
            "played",
            f"{player.wet_s:.0f} s separated, {player.dry_s:.0f} s dry, {player.bypass_s:.0f} s bypassed",
            PLAIN,
        ),
        ("limiter", f"{player.clipped_samples} samples", WARM if player.clipped_samples else PLAIN),
        ("restarts", str(engine.restarts), WARM if engine.restarts else PLAIN),
    ]
    if live is not None:
        rows.append(("input", f"{live.bad_samples} bad samples, {live.rejumps} corrections of the latency", PLAIN))
    return rows


def latency_text(latency: Latency, is_live: bool) -> str:
    """Algorithmic + margin + device; a file is read ahead, so its faders wait for the device alone."""
    parts = [part * 1000 / SAMPLE_RATE for part in (latency.algorithmic, latency.margin, latency.device)]
    told = " + ".join(f"{part:.0f}" for part in parts)
    if is_live:
        return f"{told} = {sum(parts):.0f} ms (algorithmic, margin, device)"
    return f"faders {parts[2]:.0f} ms; live {told} = {sum(parts):.0f} ms"


class MessagesView(Drawn):
    """The last messages, wrapped, the newest at the bottom."""

    _lines: tuple[str, ...] = ()

    def append(self, lines: list[str]) -> None:
        """Append messages."""
        self._lines = (*self._lines, *map(self.glyphs.text, lines))[-KEPT_LINES:]
        self.show(self._lines)

    def row(self, number: int, width: int) -> list[Part]:
        rows = [row for line in self._lines for row in wrapped(line, width)][-self.size.height :]
        if not rows:
            return [("no messages", DIM)] if number == 0 else []
        return [(rows[number], PLAIN)] if number < len(rows) else []


def wrapped(text: str, width: int) -> list[str]:
    """Rows of at most `width` cells, broken between words where possible."""
    rows = []
    while cells(text) > width > 0:
        row = cut(text, width)
        space = row.rfind(" ")
        if space > width // 2 and text[len(row) : len(row) + 1] != " ":
            row = row[:space]
        if not row:  # a character wider than the row
            break
        rows.append(row)
        text = text[len(row) :].lstrip()
    return [*rows, text]
