"""`rtsep play`: a song, its stems on faders, in a terminal."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from rtsep.cli.arguments import (
    ChunkOrAuto,
    Compute,
    Files,
    Flag,
    Gains,
    Model,
    NoUi,
    ReportAsJson,
    Routes,
    Seconds,
    Start,
)
from rtsep.errors import RtsepError
from rtsep.ui.keys import help_sentence


def play(
    files: Annotated[Files, Parameter(help="Audio files, played one after the other without a gap.")],
    /,
    *,
    device: str | None = None,
    model: Model = None,
    gain: Gains = (),
    to: Routes = (),
    chunk: ChunkOrAuto = None,
    compute: Compute = "auto",
    start: Start = 0.0,
    seconds: Seconds = None,
    ahead: Flag = False,
    no_ui: NoUi = False,
    json: ReportAsJson = False,
) -> int:
    """Play songs and ride their stems' faders.

    KEYS

    Parameters
    ----------
    device
        Output device: its number, its name, or a unique part of the name. Default: the system's.
    chunk
        Frames the network takes in one step, 1 to 32. Default: few while there is little lead, then up to 32.
    start
        Begin at this second of the first file.
    ahead
        Separate songs before they are played, for networks that are too slow here otherwise: a song begins as soon as
        the rest of it will be ready in time. HT Demucs always does.
    """
    # Here, not above: they bring numpy and numba, and `rtsep play --help` is to be there at once.
    from rtsep.audio.devices.discovery import find_device
    from rtsep.cli.session.session import play_on, say
    from rtsep.player.device_keeper import Side

    if device is None and (why := _why_no_output()) is not None:
        say(f"{why}: writing the stems and a picture to out/ instead")
        if to:
            say("--to needs an output device with these channels; each stem gets a file of its own")
        from rtsep.cli.batch.render import render  # with torch in this process, which a player never has

        return render(
            files, model=model, gains=gain, chunk=chunk, compute=compute, start_s=start, seconds=seconds, json=json
        )
    return play_on(
        *(Side(find_device(device), "output", or_default=device is None), files),
        model=model,
        gains=gain,
        routes=dict(to),
        chunk=chunk,
        compute=compute,
        start_s=start,
        seconds=seconds,
        ahead=ahead,
        keys=not no_ui,
        json=json,
    )


def _why_no_output() -> str | None:
    """Why nothing can be heard here, in a few words; None where there is an output device."""
    from rtsep.audio.devices.discovery import list_devices

    try:
        devices = list_devices()
    except RtsepError as error:
        return str(error)
    return None if any(found.serves("output") for found in devices) else "no sound device here"


# The one table of keys speaks here too.
play.__doc__ = (play.__doc__ or "").replace("KEYS", help_sentence())
