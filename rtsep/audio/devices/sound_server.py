"""The sound server, PulseAudio or PipeWire, by the protocol that both speak; PortAudio can't tell its defaults."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rtsep.audio.devices.discovery import Direction
from rtsep.errors import RtsepError

SOUND_SERVERS = ("default", "sysdefault", "pulse", "pipewire")
"""ALSA's names for a sound server, behind which input and output may be any two devices."""
DEVICE_VARIABLES = {"input": "PULSE_SOURCE", "output": "PULSE_SINK"}
"""Environment variables that name the device which is opened behind these names."""
_DEFAULTS = {"input": "default_source_name", "output": "default_sink_name"}


@contextmanager
def sound_server() -> Iterator[Any]:
    """A connection to the sound server, a `pulsectl.Pulse`.

    Raises RtsepError, with the remedy, where there is none, and when it fails in the `with` block.
    """
    if sys.platform != "linux":
        raise RtsepError("there is no PulseAudio or PipeWire on this system")
    try:
        import pulsectl
    except (ImportError, OSError) as error:
        raise RtsepError(
            f"the sound server can't be asked ({error}); Debian and Ubuntu: apt-get install libpulse0; "
            "in the environment of rtsep: pip install pulsectl"
        ) from error
    try:
        with pulsectl.Pulse("rtsep", connect=False) as server:
            server.connect()  # not `timeout`, which it always waits for; libpulse gives up by itself
            yield server
    except (pulsectl.PulseError, pulsectl.PulseDisconnected) as error:
        text = str(error) or "it closed the connection"
        raise RtsepError(f"no answer from PulseAudio or PipeWire ({text}): start the sound server") from error


def server_default(kind: Direction) -> str | None:
    """The server's name of its default device, such as ``alsa_output.usb.monitor``; None where none can be asked."""
    if chosen := os.environ.get(DEVICE_VARIABLES[kind]):
        return chosen
    try:
        with sound_server() as server:
            return getattr(server.server_info(), _DEFAULTS[kind])
    except RtsepError:
        return None
