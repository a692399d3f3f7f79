"""`rtsep live --setup`: the way from the system's sound to rtsep over a virtual cable, as a dialogue."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence

import numpy as np

from rtsep.audio.devices.discovery import Device, list_devices, load_sounddevice
from rtsep.audio.devices.feedback import feedback_risk, is_virtual_cable
from rtsep.errors import RtsepError
from rtsep.system.native_output import libraries_silenced
from rtsep.ui.console import put

INSTALL = {
    "darwin": "install BlackHole 2ch (https://existential.audio/blackhole, or brew install blackhole-2ch)",
    "win32": "install VB-Cable (https://vb-audio.com/Cable), or enable Stereo Mix under Sound settings > Recording",
}
SELECT = {
    "darwin": "In System Settings > Sound > Output, choose {cable}.",
    "win32": "In Settings > System > Sound > Output, choose CABLE Input (nothing to choose for Stereo Mix).",
}
APPS = "no cable is needed on Linux: rtsep devices --apps lists what plays now, rtsep live --app NAME separates it"
LISTEN_S = 3.0
SILENT = 1e-4
"""Of full scale: what a cable without sound stays below."""


def run_setup(platform: str = sys.platform, ask: Callable[[str], str] = input) -> int:
    """Find the cable, choose an output, check that sound arrives, print the command. Returns the exit code.

    Raises RtsepError where there is no cable, no output, or no sound.
    """
    if platform == "linux":
        put(APPS)
        return 0
    devices = list_devices()
    cables = [device for device in devices if device.serves("input") and is_virtual_cable(device.name)]
    if not cables:
        raise RtsepError(f"no virtual cable found: {INSTALL.get(platform, INSTALL['darwin'])}, then try again")
    cable = _choose("Virtual cables:", cables, ask)
    outputs = [
        device
        for device in devices
        if device.serves("output") and not is_virtual_cable(device.name) and feedback_risk(cable, device) is None
    ]
    if not outputs:
        raise RtsepError("no output device found besides the cable: connect headphones or speakers, then try again")
    output = _choose("Where do you want to hear it?", outputs, ask)
    put(SELECT.get(platform, SELECT["darwin"]).format(cable=cable.name))
    ask("Then play some music, and press Enter: ")
    level = _loudest(cable)
    if level < SILENT:
        raise RtsepError(
            f'no sound arrived from "{cable.name}" in {LISTEN_S:.0f} s: check the system\'s output and that music '
            "plays, then try again; on macOS also allow the terminal to use the microphone"
        )
    put(f"Sound arrives ({20 * np.log10(level):.0f} dBFS at most). From now on:")
    put(f"rtsep live --input {shlex.quote(cable.name)} --output {shlex.quote(output.name)}")
    return 0


def _choose(question: str, devices: Sequence[Device], ask: Callable[[str], str]) -> Device:
    put(question)
    for number, device in enumerate(devices, 1):
        put(f"  {number}  {device.name} ({device.host_api})")
    while True:
        text = ask(f"Number, 1 to {len(devices)} [1]: ").strip() or "1"
        if text.isdecimal() and 1 <= int(text) <= len(devices):
            return devices[int(text) - 1]


def _loudest(device: Device) -> float:
    """The loudest sample of what a device records for a few seconds, linear."""
    sounddevice = load_sounddevice()
    rate = round(device.default_samplerate)
    try:
        with libraries_silenced():
            heard = sounddevice.rec(
                round(LISTEN_S * rate),
                samplerate=rate,
                channels=min(2, device.inputs),
                device=device.index,
                blocking=True,
            )
    except sounddevice.PortAudioError as error:
        raise RtsepError(f'"{device.name}" can\'t be recorded: {error}') from error
    return float(np.max(np.abs(heard)))
