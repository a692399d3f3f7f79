"""`rtsep play`: a song, its stems on faders, in a terminal."""

from __future__ import annotations

import json as json_format
import math
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rtsep.engine.options import check_chunk, check_compute
from rtsep.errors import RtsepError, UsageError
from rtsep.player.faders import MAX_GAIN_DB, MIN_GAIN_DB
from rtsep.ui.keys import help_sentence


def play(
    file: Path,
    /,
    *,
    device: str | None = None,
    model: str | None = None,
    gain: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    chunk: int | None = None,
    compute: str = "auto",
    start: float = 0.0,
    seconds: float | None = None,
    no_ui: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Play a song and ride its stems' faders.

    KEYS

    Parameters
    ----------
    file
        An audio file.
    device
        Output device: its number, its name, or a unique part of the name. Default: the system's.
    model
        Name or folder of a model. Default: the one that comes along.
    gain
        Where a fader begins, as STEM=DB: vocals=-6, from -60 to +12, or vocals=-inf for silence. May be given several
        times.
    chunk
        Frames the network takes in one step, 1 to 32. Default: few while there is little lead, then up to 32.
    compute
        auto, cpu, cuda or cuda:N.
    start
        Begin at this second.
    seconds
        End this many seconds after the start.
    no_ui
        No keys and no status line; a summary at the end.
    json
        One JSON object on stdout at the end, and no summary.
    """
    gains = [parse_gain(text) for text in gain]
    check_chunk(chunk)
    check_compute(compute)
    if not (math.isfinite(start) and start >= 0):
        raise UsageError(f"--start {start:g}: expected seconds, 0 or more")
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"--seconds {seconds:g}: expected seconds, more than 0")
    # Here, not above: they bring numpy and numba, and `rtsep play --help` is to be there at once.
    from rtsep.audio.devices import find_device
    from rtsep.cli.session import play_on, say

    if device is None and (why := _why_no_output()) is not None:
        say(f"{why}: writing the stems and a picture to out/ instead")
        from rtsep.cli.render import render  # with torch in this process, which a player never has

        written = render(
            *(file, Path("out")),
            model=model,
            gains=gains,
            chunk=chunk,
            compute=compute,
            start_s=start,
            seconds=seconds,
        )
        paths = [str(path) for path in written]
        print(json_format.dumps({"file": str(file), "written": paths}) if json else "\n".join(paths))
        return 0
    return play_on(
        *(find_device(device), file),
        or_default=device is None,
        model=model,
        gains=gains,
        chunk=chunk,
        compute=compute,
        start_s=start,
        seconds=seconds,
        keys=not no_ui,
        json=json,
    )


def _why_no_output() -> str | None:
    """Why nothing can be heard here, in a few words; None where there is an output device."""
    from rtsep.audio.devices import list_devices

    try:
        devices = list_devices()
    except RtsepError as error:
        return str(error)
    return None if any(found.serves("output") for found in devices) else "no sound device here"


# The one table of keys speaks here too.
play.__doc__ = (play.__doc__ or "").replace("KEYS", help_sentence())


def parse_gain(text: str) -> tuple[str, float]:
    """``vocals=-6`` -> ("vocals", -6.0); from -60 to +12, or "-inf". UsageError for anything else."""
    stem, equals, number = text.partition("=")
    try:
        gain_db = float(number)
    except ValueError:
        gain_db = float("nan")
    if not (stem and equals and (gain_db == -math.inf or MIN_GAIN_DB <= gain_db <= MAX_GAIN_DB)):
        raise UsageError(
            f"--gain {text}: expected STEM=DB with DB from {MIN_GAIN_DB:g} to {MAX_GAIN_DB:+g}, or -inf for silence; "
            "for example vocals=-6"
        )
    return stem.strip(), gain_db
