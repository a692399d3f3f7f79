"""`rtsep live`: a microphone, a line-in or what the system plays, separated as it comes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rtsep.cli.play import parse_gain
from rtsep.engine.options import check_block, check_chunk, check_compute, check_latency
from rtsep.errors import RtsepError, UsageError
from rtsep.ui.keys import help_sentence


def live(
    *,
    input: str | None = None,
    output: str | None = None,
    model: str | None = None,
    gain: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    latency: str = "standard",
    chunk: int = 1,
    compute: str = "auto",
    block: int = 256,
    record: Path | None = None,
    seconds: float | None = None,
    allow_feedback: Annotated[bool, Parameter(negative="")] = False,
    no_ui: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Separate what an input hears, and play it with faders.

    KEYS Pause is silence here, and there is nothing to wind back.

    Parameters
    ----------
    input
        Input device: its number, its name, or a unique part of the name. Default: the system's. What the system plays
        is heard through a monitor or loop-back device. Of more than two channels the first two are taken.
    output
        Output device, named likewise.
    model
        Name or folder of a model. Default: the one that comes along.
    gain
        Where a fader begins, as STEM=DB: vocals=-6, from -60 to +12, or vocals=-inf for silence. May be given several
        times.
    latency
        Of the synthesis: standard, medium or low; 93, 70 or 46 ms, the shorter ones at some cost in quality.
    chunk
        Frames the network takes in one step, 1 to 32. Each beyond the first costs 23 ms of latency.
    compute
        auto, cpu, cuda or cuda:N.
    block
        Samples the devices give and take at once, 32 to 4096.
    record
        Write mixture.wav and a file for each stem into this folder meanwhile.
    seconds
        End after so many seconds.
    allow_feedback
        Play even where the microphone would hear the loudspeakers of its own device.
    no_ui
        No keys and no status line; a summary at the end.
    json
        One JSON object on stdout at the end, and no summary.
    """
    gains = [parse_gain(text) for text in gain]
    check_chunk(chunk)
    check_compute(compute)
    check_latency(latency)
    check_block(block)
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"--seconds {seconds:g}: expected seconds, more than 0")
    # Here, not above: they bring numpy and numba, and `rtsep live --help` is to be there at once.
    from rtsep.audio.devices import find_device
    from rtsep.audio.feedback import may_feed_back
    from rtsep.cli.live_session import run_live
    from rtsep.player.device_keeper import Side

    given, taken = find_device(input, "input"), find_device(output, "output")
    if may_feed_back(given, taken) and not allow_feedback:
        raise RtsepError(
            f'"{given.name}" would hear "{taken.name}", which howls: name another --input (a monitor or loop-back to '
            "take what the system plays) or --output, or, with headphones on, say --allow-feedback"
        )
    return run_live(
        *(Side(given, "input", or_default=input is None), Side(taken, "output", or_default=output is None)),
        model=model,
        gains=gains,
        chunk=chunk,
        compute=compute,
        latency=latency,
        block=block,
        record=record,
        allow_feedback=allow_feedback,
        seconds=seconds,
        keys=not no_ui,
        json=json,
    )


# The one table of keys speaks here too.
live.__doc__ = (live.__doc__ or "").replace("KEYS", help_sentence())
