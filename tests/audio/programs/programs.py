"""Programs that play on a virtual sound server, and where the server plays them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtsep.audio.devices.sound_server import sound_server

RAW = ["--raw", "--format=float32le", "--rate=44100", "--channels=2", "--latency-msec=200"]


@contextmanager
def playing(name: str, *options: str, sound: str | Path = "/dev/zero") -> Iterator[subprocess.Popen[bytes]]:
    """A program called `name` that plays a raw file."""
    command = ["pacat", "--playback", *RAW, f"--client-name={name}", *options, str(sound)]
    environment = {key: value for key, value in os.environ.items() if key not in ("PULSE_SINK", "PULSE_SOURCE")}
    with subprocess.Popen(command, env=environment) as program:
        try:
            yield program
        finally:
            program.kill()


def places() -> list[tuple[str, str]]:
    """Every stream's program and the sink where it plays."""
    with sound_server() as server:
        sinks = {sink.index: sink.name for sink in server.sink_list()}
        streams = server.sink_input_list()
        return sorted((stream.proplist["application.name"], sinks[stream.sink]) for stream in streams)


def default_sink() -> str:
    with sound_server() as server:
        return server.server_info().default_sink_name


def sink_names() -> list[str]:
    with sound_server() as server:
        return [sink.name for sink in server.sink_list()]


CAPTURE = """
import sys, time
from rtsep.audio.programs.capture import ProgramCapture
from rtsep.audio.programs.playing import find_program

capture = ProgramCapture(find_program(sys.argv[1]))
capture.take()
time.sleep(60)
"""


@contextmanager
def captured_elsewhere(name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the sound of a program, to be killed."""
    with subprocess.Popen([sys.executable, "-c", CAPTURE, name]) as process:
        try:
            yield process
        finally:
            process.kill()
