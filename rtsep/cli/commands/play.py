"""`rtsep play`: songs in a terminal, with a fader for each stem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rtsep.audio.files.folders import with_folders_expanded
from rtsep.cli.arguments import Files
from rtsep.cli.session.options import PlayOptions
from rtsep.cli.session.session import Session
from rtsep.control.table import PLAY_KEYS
from rtsep.errors import RtsepError, UsageError
from rtsep.ui.console import say

DEFAULTS = PlayOptions()


def play(
    files: Annotated[Files, Parameter(help="Audio files and folders, played in order without gaps.")] = (),
    /,
    *,
    options: PlayOptions = DEFAULTS,
) -> int:
    """Play songs with a fader for each stem.

    KEYS

    Files that cannot be read are left out, and the exit code is 3 then. Without a sound device the stems, and a picture
    of the spectra before and after, are written to the folder out/.
    """
    if options.recent:
        from rtsep.cli.session.remembered import list_recent

        list_recent(options.json)
        return 0
    if not files and not options.resume:
        raise UsageError("FILES: name audio files or folders, or use --resume; see rtsep play --help")
    songs: Sequence[Path] = with_folders_expanded(files) if files else ()
    if options.resume:
        from rtsep.cli.session.remembered import resumed

        songs, options = resumed(songs, options)
    no_output: str | None = None
    with Session(PLAY_KEYS, options) as session:
        # Here, not above: they bring numpy and numba, and `rtsep play --help` must answer at once.
        from rtsep.cli.session.play_session import play_on
        from rtsep.cli.session.remembered import open_store, output_device
        from rtsep.player.device_keeper import Side

        if options.device is None:
            no_output = why_no_output()
        if no_output is None:
            store = open_store(options, session.has_keys)
            output = Side(output_device(options, store), "output", or_default=options.device is None)
            return play_on(session, output, songs, options, store)
    if no_output is None:  # the user has quit before it played
        return 0
    return _render(songs, options, no_output)


def why_no_output() -> str | None:
    """Why nothing can be heard, in a few words; None where there is an output device."""
    from rtsep.audio.devices.discovery import list_devices

    try:
        devices = list_devices()
    except RtsepError as error:
        return str(error)
    return None if any(found.serves("output") for found in devices) else "no sound device found"


def _render(songs: Sequence[Path], options: PlayOptions, why: str) -> int:
    """Write to files what cannot be heard. Returns the exit code."""
    from rtsep.cli.batch.render import render  # may load torch, which a player never does

    say(f"{why}; writing the stems and a picture to out/ instead")
    if options.to:
        say("--to needs an output device with these channels; each stem gets its own file")
    return render(songs, options)


# The one table of keys appears here too.
play.__doc__ = (play.__doc__ or "").replace("KEYS", PLAY_KEYS.sentence())
