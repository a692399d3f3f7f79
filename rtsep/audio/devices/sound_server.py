"""Which devices a sound server, PulseAudio or PipeWire, has chosen as its defaults; PortAudio can't tell."""

import os
import subprocess

from rtsep.audio.devices.discovery import Direction

SOUND_SERVERS = ("default", "sysdefault", "pulse", "pipewire")
"""ALSA's names for a sound server, behind which input and output may be any two devices."""
_NAMES = {"input": ("PULSE_SOURCE", "Default Source:"), "output": ("PULSE_SINK", "Default Sink:")}
ANSWER_LIMIT_S = 2.0


def server_default(kind: Direction) -> str | None:
    """The server's name of its default device, such as ``alsa_output.usb.monitor``; None where none can be asked."""
    variable, label = _NAMES[kind]
    if chosen := os.environ.get(variable):
        return chosen
    try:
        done = subprocess.run(
            ["pactl", "info"],
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.decode(errors="replace").splitlines()
    return next((line.removeprefix(label).strip() for line in lines if line.startswith(label)), None)
