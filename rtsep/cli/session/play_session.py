"""One run of `rtsep play` on a device, from the files to the report."""

from __future__ import annotations

import json as json_format
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rtsep.audio.callback.routing import check_channels
from rtsep.audio.devices.discovery import Device
from rtsep.audio.streams.device_stream import OutputStream
from rtsep.bundle import Bundle
from rtsep.cli.session.options import PlayOptions
from rtsep.cli.session.playback_report import exit_code, play_report, summary
from rtsep.cli.session.session import Session
from rtsep.control.memory import Memory
from rtsep.control.song_store import SongStore
from rtsep.errors import RtsepError
from rtsep.player.device_keeper import OutputKeeper, Side
from rtsep.player.file_player import FilePlayer
from rtsep.player.notices import Notices
from rtsep.player.stream_protocols import PlaybackStream
from rtsep.separation.default_model import default_model
from rtsep.separation.machine_speed import measure_later
from rtsep.shared.state import SharedState
from rtsep.system.native_output import libraries_silenced
from rtsep.timebase import SAMPLE_RATE
from rtsep.ui import console

if TYPE_CHECKING:
    from rtsep.cli.session.page_session import PageSession

DEVICE_LATENCY_S = 0.1
"""Requested from the device. A busy machine has that long to call back; a fader feels immediate all the same."""


def play_on(
    session: Session | PageSession,
    output: Side,
    files: Sequence[Path],
    options: PlayOptions,
    store: SongStore | None,
) -> int:
    """Play files on a device, to their end or until the user quits. Returns the exit code.

    `store`: where songs are remembered, if they are; it is closed.

    Raises RtsepError if nothing can be played.
    """
    routes = dict(options.to)
    notices = Notices()
    check_channels(routes, f'"{output.device.name}"', output.device.outputs)

    def open_on(shared: SharedState, device: Device) -> OutputStream:
        stream = OutputStream(shared, device.index, latency=DEVICE_LATENCY_S, routes=routes)
        line = f"{device.name}: resampling to {stream.samplerate} Hz"
        if stream.samplerate != SAMPLE_RATE and line not in notices:  # it may open many times before it plays
            notices.append(line)
        return stream

    def open_stream(shared: SharedState) -> OutputKeeper:
        return OutputKeeper(shared, output, partial(open_on, shared), notices.append)

    return _play(session, open_stream, output.device.name, files, options, notices, store)


def play_in_browser(session: PageSession, files: Sequence[Path], options: PlayOptions) -> int:
    """As `play_on`, heard in the pages that listen."""
    from rtsep.web.listening import BrowserStream  # here, not above: `rtsep play` needs no server

    def open_stream(shared: SharedState) -> BrowserStream:
        return BrowserStream(shared, session.listeners)

    return _play(session, open_stream, "browser", files, options, Notices(), None)


def _play(
    session: Session | PageSession,
    open_stream: Callable[[SharedState], PlaybackStream],
    output_name: str,
    files: Sequence[Path],
    options: PlayOptions,
    notices: Notices,
    store: SongStore | None,
) -> int:
    untried: list[Bundle] = []
    # With chunks of the user's choice no instant network plays on where the model turns out to be too slow.
    on_untried = untried.append if options.chunk is None else None
    with ExitStack() as stack:
        if store is not None:
            stack.enter_context(store)
        stack.enter_context(libraries_silenced())
        player = stack.enter_context(
            FilePlayer(
                *files,
                model=options.model or default_model(options.compute, tell=console.say, on_untried=on_untried),
                chunk=options.chunk,
                compute=options.compute,
                open_stream=open_stream,
                start_s=options.start,
                ahead=options.ahead,
                mask_extension=options.mask_extension,
                routed=bool(options.to),
            )
        )
        for line in player.left_out:
            console.say(line)
        length_s = player.status().length_s
        if length_s is not None and 0 < length_s <= options.start:
            raise RtsepError(f"--start {options.start:g}: {player.song.path} is only {length_s:.2f} s long")
        session.attach(player, notices)
        for song in player.source.songs:
            notices.extend(song.notes)
        player.set_speed(options.speed)
        player.set_key(options.key)
        if store is not None:
            is_as_asked = options.gain or options.speed != 1.0 or options.key != 0.0
            stack.enter_context(Memory(session.desk, store, notices, restores_first=not is_as_asked))
        player.play()
        player.open(on_wait=lambda waiting: session.wait_line.separating(player.song.path.name, waiting))
        for bundle in untried:
            measure_later(bundle, options.compute)
        session.run()
        status = player.status()
        session.report(status)
    if options.json:
        about = output_name, options.start, session.reported, player.left_out
        console.put(json_format.dumps(play_report(status, player.engine, *about)))
    else:
        console.say(summary(status))
    return exit_code(status, session.interrupted, player.left_out)
