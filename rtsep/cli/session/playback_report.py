"""The report of a run of `rtsep play` or `rtsep live`: one line, JSON, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rtsep.engine.latency import Latency
from rtsep.player.snapshot import PlayerSnapshot
from rtsep.player.stem_engine import StemEngine
from rtsep.timebase import SAMPLE_RATE
from rtsep.ui.status_line import latency_text, live_latency_text


def exit_code(status: PlayerSnapshot, interrupted: bool, left_out: Sequence[str] = ()) -> int:
    """Exit code: 130 after control-C, 1 if something failed for good, 3 if files were left out, else 0."""
    return 130 if interrupted else 1 if status.messages else 3 if left_out else 0


def summary(status: PlayerSnapshot) -> str:
    """Return what happened, in one line for people."""
    engine, live = status.engine, status.live
    parts = [
        f"played {status.wet_s:.1f} s separated, {status.dry_s:.1f} s dry, {status.bypass_s:.1f} s bypassed",
        f"latency: {latency_text(status.latency)}" if live is None else live_latency_text(status.latency),
        f"late: {engine.late_hops} hops, {engine.skipped_hops} skipped, {status.late_blocks} blocks",
        f"a hop takes {engine.compute_p50_ms:.1f} ms (99 %: {engine.compute_p99_ms:.1f} ms)",
    ]
    if live is not None and live.bad_samples > 0:
        parts.append(f"{live.bad_samples} samples from the input were not finite and were muted")
    if live is not None and live.recorded_s > 0:
        parts.append(f"recorded {live.recorded_s:.1f} s with {live.recording_gaps} gaps")
    return "; ".join(parts)


def play_report(
    status: PlayerSnapshot,
    engine: StemEngine,
    device: str,
    start_s: float,
    notices: Iterable[str],
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the report of `rtsep play` for programs; units are in the names.

    `notices`: what was reported meanwhile. `left_out`: a line for each file that could not be read.
    """
    return {
        "file": str(status.file),
        "track": status.track + 1,
        "tracks": status.tracks,
        "left_out": list(left_out),
        "loop_s": status.loop_s,
        "cue_s": status.cue_s,
        "speed": status.speed,
        "key": status.key,
        "device": device,
        "start_s": start_s,
        "position_s": status.position_s,
        "length_s": status.length_s,
        "ended": status.ended,
        "device_latency_ms": _ms(status.latency.device),
        "live_latency_samples": _parts(status.latency),
        **_common(status, engine, notices),
    }


def live_report(
    status: PlayerSnapshot, engine: StemEngine, source: str, sink: str, notices: Iterable[str]
) -> dict[str, Any]:
    """Return the report of `rtsep live` for programs, in the same way."""
    assert status.live is not None
    return {
        "input": source,
        "output": sink,
        "latency_samples": _parts(status.latency),
        "latency_ms": _ms(status.latency.total),
        "live": asdict(status.live),
        **_common(status, engine, notices),
    }


def _common(status: PlayerSnapshot, engine: StemEngine, notices: Iterable[str]) -> dict[str, Any]:
    return {
        "model": engine.model_name,
        "compute": engine.compute,
        "compute_lost": engine.device_error,
        "seconds_played": status.played_s,
        "wet_s": status.wet_s,
        "dry_s": status.dry_s,
        "bypass_s": status.bypass_s,
        "starved_s": status.starved_s,
        "late_blocks": status.late_blocks,
        "clipped_samples": status.clipped_samples,
        "engine": asdict(status.engine),
        "notices": list(notices),
        "messages": list(status.messages),
    }


def _parts(latency: Latency) -> dict[str, int]:
    return asdict(latency) | {"total": latency.total}


def _ms(samples: int) -> float:
    return 1000 * samples / SAMPLE_RATE
