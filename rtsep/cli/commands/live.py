"""`rtsep live`: a microphone, a line-in or what the system plays, separated as it comes."""

from __future__ import annotations

from pathlib import Path

from rtsep.cli.arguments import (
    Block,
    Chunk,
    Compute,
    Flag,
    Gains,
    LatencyMode,
    Model,
    NoUi,
    ReportAsJson,
    Routes,
    Seconds,
)
from rtsep.errors import RtsepError
from rtsep.ui.keys import help_sentence


def live(
    *,
    input: str | None = None,
    output: str | None = None,
    model: Model = None,
    gain: Gains = (),
    to: Routes = (),
    latency: LatencyMode = "standard",
    chunk: Chunk = 1,
    compute: Compute = "auto",
    block: Block = 256,
    record: Path | None = None,
    seconds: Seconds = None,
    allow_feedback: Flag = False,
    no_ui: NoUi = False,
    json: ReportAsJson = False,
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
    latency
        Of the synthesis: standard, medium or low; 93, 70 or 46 ms, the shorter ones at some cost in quality. Standard
        also holds 10 ms in reserve for a machine that stands still for a moment, the others 2 ms.
    chunk
        Frames the network takes in one step, 1 to 32. Each beyond the first costs 23 ms of latency.
    record
        Write mixture.wav and a file for each stem into this folder meanwhile.
    allow_feedback
        Play even where the microphone would hear the loudspeakers of its own device.
    """
    # Here, not above: they bring numpy and numba, and `rtsep live --help` is to be there at once.
    from rtsep.audio.devices.discovery import find_device
    from rtsep.audio.devices.feedback import may_feed_back
    from rtsep.cli.session.live_session import run_live
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
        gains=gain,
        routes=dict(to),
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
