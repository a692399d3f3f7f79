"""`rtsep live`: a microphone, a line input or what the system plays, separated as it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtsep.cli.session.options import LiveOptions
from rtsep.cli.session.session import Session
from rtsep.control.table import LIVE_KEYS
from rtsep.errors import RtsepError, UsageError

if TYPE_CHECKING:
    from rtsep.cli.session.page_session import PageSession

DEFAULTS = LiveOptions()


def live(*, options: LiveOptions = DEFAULTS) -> int:
    """Separate a live input and play it, with a fader for each stem.

    KEYS
    """
    if options.app is not None and options.input is not None:
        raise UsageError("--app and --input: name one of them")
    if options.setup:
        from rtsep.cli.session.live_setup import run_setup

        return run_setup()
    with Session(LIVE_KEYS, options) as session:
        return run_live_session(session, options)
    return 0  # the user has quit before it played


def run_live_session(session: Session | PageSession, options: LiveOptions) -> int:
    """Find the devices, or the program, and play. Returns the exit code."""
    # Here, not above: they bring numpy and numba, and `rtsep live --help` must answer at once.
    from rtsep.audio.devices.discovery import find_device
    from rtsep.audio.devices.feedback import feedback_risk
    from rtsep.audio.programs.playing import find_program
    from rtsep.cli.session.live_session import run_live, run_program
    from rtsep.player.device_keeper import Side

    if options.app is not None:
        return run_program(session, find_program(options.app), options)
    source, sink = find_device(options.input, "input"), find_device(options.output, "output")
    if not options.allow_feedback and (risk := feedback_risk(source, sink)) is not None:
        raise RtsepError(
            f"{risk}: name another --input or --output (the monitor of another output, or a loopback device, "
            "captures what is played there); with headphones, use --allow-feedback"
        )
    sides = Side(source, "input", options.input is None), Side(sink, "output", options.output is None)
    return run_live(session, *sides, options)


# The one table of keys appears here too.
live.__doc__ = (live.__doc__ or "").replace("KEYS", LIVE_KEYS.sentence())
