"""One run of `rtsep live`: devices and worker opened, the latency told, keys obeyed, a report at the end."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rtsep.audio.callback.routing import Routes, check_channels
from rtsep.audio.devices.discovery import Device
from rtsep.audio.streams.live_stream import LiveStream
from rtsep.cli.session.playback_report import exit_code, live_report, summary
from rtsep.cli.session.session import Session, patience, routes_notes, say
from rtsep.player.device_keeper import Side
from rtsep.player.live_player import LivePlayer
from rtsep.system.native_output import libraries_silenced
from rtsep.timebase import RESERVE_S
from rtsep.ui.status_line import live_latency_text
from rtsep.ui.terminal import Terminal


def run_live(
    given_side: Side,
    taken_side: Side,
    *,
    model: str | None,
    gains: Sequence[tuple[str, float]],
    routes: Routes,
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
    check_channels(routes, f'"{taken.name}"', taken.outputs)
    with ExitStack() as stack:
        stack.enter_context(libraries_silenced())
        player = stack.enter_context(
            LivePlayer(
                lambda shared, given, taken: LiveStream(shared, given, taken, block, RESERVE_S[latency], routes),
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
        player.notices.extend(routes_notes(routes, player))
        if knows_its_channels(given) and given.inputs > 2:
            player.notices.append(f"{given.name} has {given.inputs} channels: the first two are taken")
        with patience(quiet=json):
            player.open()
        if not json:
            say(f"{given.name} to {taken.name}: {live_latency_text(player.latency())}, block {block}, chunk {chunk}")
        terminal = stack.enter_context(Terminal()) if keys else None
        session = Session(player, terminal, seconds, player.notices)
        session.run()
        player.close()  # the recording gets its names
        status = player.status()
        session.tell(status)
    if json:
        print(json_format.dumps(live_report(status, player.engine, given_side.device, taken_side.device, session.told)))
    else:
        say(summary(status))
    return exit_code(status, session.interrupted)


def knows_its_channels(device: Device) -> bool:
    """Whether the number of channels is the device's own. ALSA's plugs (`pulse`, `default`) claim as many as they can
    convert; only its hardware has "hw:" in its name."""
    return device.host_api != "ALSA" or "(hw:" in device.name
