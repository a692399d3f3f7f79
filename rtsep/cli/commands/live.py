"""`rtsep live`: a microphone, a line input or what the system plays, separated as it arrives."""

from __future__ import annotations

from rtsep.cli.session.options import LiveOptions
from rtsep.cli.session.session import Session
from rtsep.control.table import LIVE_KEYS
from rtsep.errors import RtsepError

DEFAULTS = LiveOptions()


def live(*, options: LiveOptions = DEFAULTS) -> int:
    """Separate a live input and play it, with a fader for each stem.

    KEYS
    """
    with Session(LIVE_KEYS, options) as session:
        # Here, not above: they bring numpy and numba, and `rtsep live --help` must answer at once.
        from rtsep.audio.devices.discovery import find_device
        from rtsep.audio.devices.feedback import feedback_risk
        from rtsep.cli.session.live_session import run_live
        from rtsep.player.device_keeper import Side

        source, sink = find_device(options.input, "input"), find_device(options.output, "output")
        if not options.allow_feedback and (risk := feedback_risk(source, sink)) is not None:
            raise RtsepError(
                f"{risk}: name another --input or --output (the monitor of another output, or a loopback device, "
                "captures what is played there); with headphones, use --allow-feedback"
            )
        sides = Side(source, "input", options.input is None), Side(sink, "output", options.output is None)
        return run_live(session, *sides, options)
    return 0  # the user has quit before it played


# The one table of keys appears here too.
live.__doc__ = (live.__doc__ or "").replace("KEYS", LIVE_KEYS.sentence())
