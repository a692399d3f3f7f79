"""One run of `rtsep live`, from the devices to the report."""

from __future__ import annotations

import json as json_format
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from rtsep.audio.callback.routing import check_channels
from rtsep.audio.devices.discovery import Device, find_device
from rtsep.audio.programs.capture import ProgramCapture
from rtsep.audio.programs.playing import ALL, Program
from rtsep.audio.streams.live_stream import LiveStream
from rtsep.cli.session.options import LiveOptions
from rtsep.cli.session.playback_report import exit_code, live_report, summary
from rtsep.cli.session.session import Session
from rtsep.player.device_keeper import Side
from rtsep.player.live_player import LivePlayer
from rtsep.separation.default_model import default_model
from rtsep.shared.state import SharedState
from rtsep.system.native_output import libraries_silenced
from rtsep.timebase import SAMPLE_RATE
from rtsep.ui import console
from rtsep.ui.status_line import live_latency_text

if TYPE_CHECKING:
    from rtsep.cli.session.page_session import PageSession


def run_program(session: Session | PageSession, program: Program, options: LiveOptions) -> int:
    """Separate what a program plays and play it in its place. Returns the exit code; raises as `run_live`."""
    with ProgramCapture(program) as capture:
        output, label = (
            (capture.device, capture.output_text) if options.output is None else (find_device(options.output), None)
        )
        name = "every program" if program.name == ALL else program.name
        sides = Side(capture.device, "input", label=name), Side(output, "output", label=label)
        # It can't hear itself, since its own sound is never taken; without the guard no probe is ever heard.
        return run_live(session, *sides, replace(options, allow_feedback=True), capture)


def run_live(
    session: Session | PageSession,
    input_side: Side,
    output_side: Side,
    options: LiveOptions,
    capture: ProgramCapture | None = None,
) -> int:
    """Separate what the input captures and play it on the output until the user quits. Returns the exit code.

    `capture`: the program whose sound the input is.

    Raises RtsepError if it cannot start.
    """
    routes = dict(options.to)
    source, sink = input_side.device, output_side.device
    check_channels(routes, f'"{sink.name}"', sink.outputs)

    def open_on(shared: SharedState, source: Device, sink: Device) -> LiveStream:
        return LiveStream(shared, source, sink, options.block, player.engine.reserve_s, routes)

    with ExitStack() as stack:
        stack.enter_context(libraries_silenced())
        player = stack.enter_context(
            LivePlayer(
                open_on,
                *(input_side, output_side),
                model=options.model or default_model(options.compute, options.latency, console.say),
                chunk=options.chunk,
                compute=options.compute,
                latency=options.latency,
                mask_extension=options.mask_extension,
                record=options.record,
                allow_feedback=options.allow_feedback,
            )
        )
        session.attach(player, player.notices)
        if capture is None and knows_its_channels(source) and source.inputs > 2:
            player.notices.append(f"{source.name} has {source.inputs} channels: using the first two")
        player.open()
        session.end_starting()
        if not options.json:
            console.say(
                f"{input_side.name} to {output_side.name}: {live_latency_text(player.latency())}, "
                f"block {options.block}, chunk {options.chunk}"
            )
        if capture is not None:
            capture.take()
            player.notices.append(video_advice(player.latency().total))
        session.run()
        player.close()  # the recording gets its names
        status = player.status()
        session.report(status)
    if options.json:
        names = input_side.name, output_side.name
        console.put(json_format.dumps(live_report(status, player.engine, *names, session.reported)))
    else:
        console.say(summary(status))
    return exit_code(status, session.interrupted)


def video_advice(latency_samples: int) -> str:
    """What the latency means for the picture of a program that plays video."""
    latency_ms = 1000 * latency_samples / SAMPLE_RATE
    return f"sound is {latency_ms:.0f} ms later than before: set the video player's audio delay to -{latency_ms:.0f} ms"


def knows_its_channels(device: Device) -> bool:
    """Whether the number of channels is the device's own: ALSA's plugs (`pulse`, `default`) claim as many as they can
    convert, and only its hardware has "hw:" in its name."""
    return device.host_api != "ALSA" or "(hw:" in device.name
