"""`rtsep devices`: list audio devices."""

import json as json_format
from dataclasses import asdict

from rtsep.cli.arguments import Flag
from rtsep.ui.console import put, say


def devices(*, json: Flag = False) -> None:
    """List audio devices.

    Options that take a device accept its number, its name or a unique part of the name.

    Parameters
    ----------
    json
        Print a JSON list.
    """
    from rtsep.audio.devices.discovery import list_devices

    found = list_devices()
    if json:
        put(json_format.dumps([asdict(device) for device in found]))
        return
    if not found:
        say("no audio devices found: connect one, or start the sound server")
    for device in found:
        defaults = [
            *(["default output"] if device.is_default_output else []),
            *(["default input"] if device.is_default_input else []),
        ]
        marks = f"  [{', '.join(defaults)}]" if defaults else ""
        put(
            f"{device.index:3}  {device.name} ({device.host_api})  {device.inputs} in, {device.outputs} out, "
            f"{device.default_samplerate:g} Hz{marks}"
        )
