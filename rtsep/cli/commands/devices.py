"""`rtsep devices`: list audio devices."""

import json as json_format
from dataclasses import asdict

from rtsep.cli.arguments import Flag
from rtsep.ui.console import put, say


def devices(*, apps: Flag = False, json: Flag = False) -> None:
    """List audio devices.

    Options that take a device accept its number, its name or a unique part of the name.

    Parameters
    ----------
    apps
        List the programs that play now instead, for `rtsep live --app` (Linux).
    json
        Print a JSON list.
    """
    if apps:
        _list_programs(json)
        return
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


def _list_programs(json: bool) -> None:
    from rtsep.audio.programs.playing import list_programs

    found = list_programs()
    if json:
        put(json_format.dumps([asdict(program) for program in found]))
        return
    if not found:
        say("no program plays now: start one, then try again")
    for program in found:
        put(f"{program.name}  ({program.binary})  {', '.join(program.titles)}  to {', '.join(program.outputs)}")
