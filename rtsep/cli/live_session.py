"""One run of `rtsep live`: devices and worker opened, the latency told, keys obeyed, a report at the end."""

from __future__ import annotations

import json as json_format
from collections import deque
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rtsep.audio.devices import Device
from rtsep.audio.live_stream import LiveStream
from rtsep.audio.resample import ENGINE_RATE
from rtsep.cli.quiet import libraries_silenced
from rtsep.cli.session import Session, patience, say
from rtsep.player.device_keeper import Side
from rtsep.player.live import LivePlayer
from rtsep.player.status import PlayerStatus
from rtsep.ui.status import live_latency_text
from rtsep.ui.terminal import Terminal


def run_live(
    given_side: Side,
    taken_side: Side,
    *,
    model: str | None,
    gains: list[tuple[str, float]],
    chunk: int,
    compute: str,
    latency: str,
    block: int,
    record: Path | None,
    allow_feedback: bool,
    seconds: float | None,
    keys: bool,
    json: bool,
) -> int:
    """Separate what `given_side` hears and play it on `taken_side` until the user quits; the exit code.

    RtsepError if it cannot begin.
    """
    given, taken = given_side.device, taken_side.device
    with ExitStack() as stack:
        stack.enter_context(libraries_silenced())
        player = stack.enter_context(
            LivePlayer(
                lambda deck, given, taken: LiveStream(deck, given, taken, block),
                *(given_side, taken_side),
                model=model,
                chunk=chunk,
                compute=compute,
                latency=latency,
                record=record,
                allow_feedback=allow_feedback,
            )
        )
        for stem, gain_db in gains:
            player.set_gain(stem, gain_db)
        if given.inputs > 2:
            say(f"{given.name} has {given.inputs} channels: the first two are taken")
        with patience(quiet=json):
            player.open()
        if not json:
            say(f"{given.name} to {taken.name}: {live_latency_text(player.latency())}, block {block}, chunk {chunk}")
        terminal = stack.enter_context(Terminal()) if keys else None
        Session(player, terminal, seconds, deque()).run()
        player.close()  # the recording gets its names
        status = player.status()
    if json:
        print(json_format.dumps(report(status, player, given_side.device, taken_side.device)))
    else:
        say(summary(status))
    return 1 if status.messages else 0


def summary(status: PlayerStatus) -> str:
    """What has happened, for people, in one line."""
    engine, live = status.engine, status.live
    assert live is not None
    recorded = f"; recorded {live.recorded_s:.1f} s with {live.recording_gaps} gaps" if live.recorded_s > 0 else ""
    return (
        f"played {status.wet_s:.1f} s separated, {status.dry_s:.1f} s dry; {live_latency_text(status.latency)}; "
        f"late: {engine.late_hops} hops, {engine.skipped_hops} skipped, {status.late_blocks} blocks; "
        f"a hop takes {engine.compute_p50_ms:.1f} ms (99 %: {engine.compute_p99_ms:.1f} ms){recorded}"
    )


def report(status: PlayerStatus, player: LivePlayer, given: Device, taken: Device) -> dict[str, Any]:
    """What has happened, for programs; units are in the names."""
    assert status.live is not None
    return {
        "input": given.name,
        "output": taken.name,
        "model": player.engine.model_name,
        "compute": player.engine.compute,
        "wet_s": status.wet_s,
        "dry_s": status.dry_s,
        "bypass_s": status.bypass_s,
        "starved_s": status.starved_s,
        "late_blocks": status.late_blocks,
        "clipped_samples": status.clipped_samples,
        "latency_samples": asdict(status.latency) | {"total": status.latency.total},
        "latency_ms": 1000 * status.latency.total / ENGINE_RATE,
        "live": asdict(status.live),
        "engine": asdict(status.engine),
        "notices": list(status.notices),
        "messages": list(status.messages),
    }
