"""`rtsep devices`: what sound devices there are, and how to name them."""

import json as json_format
import sys
from dataclasses import asdict

from rtsep.cli.arguments import Flag


def devices(*, json: Flag = False) -> None:
    """List the sound devices.

    Wherever a device is asked for, its number, its name or a unique part of the name will do.

    Parameters
    ----------
    json
        A JSON list on stdout.
    """
    from rtsep.audio.devices.discovery import list_devices

    found = list_devices()
    if json:
        print(json_format.dumps([asdict(device) for device in found]))
        return
    if not found:
        print("rtsep: PortAudio sees no sound device", file=sys.stderr)
    for device in found:
        defaults = [
            *(["default output"] if device.is_default_output else []),
            *(["default input"] if device.is_default_input else []),
        ]
        marks = f"  [{', '.join(defaults)}]" if defaults else ""
        print(
            f"{device.index:3}  {device.name} ({device.host_api})  {device.inputs} in, {device.outputs} out, "
            f"{device.default_samplerate:g} Hz{marks}"
        )
