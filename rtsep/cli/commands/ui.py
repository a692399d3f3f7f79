"""`rtsep ui`: the player as a page in the browser."""

from __future__ import annotations

import importlib.util
from typing import Annotated

from cyclopts import Parameter

from rtsep.audio.files.folders import with_folders_expanded
from rtsep.cli.arguments import Files, Flag
from rtsep.cli.commands.live import run_live_session
from rtsep.cli.commands.play import why_no_output
from rtsep.cli.session.options import LiveOptions, PageOptions, PlayOptions
from rtsep.errors import MissingPackage, UsageError

PAGE = PageOptions()


def ui(
    files: Annotated[
        Files, Parameter(help="Audio files and folders to begin with; more can be dropped on the page.")
    ] = (),
    /,
    *,
    live: Annotated[
        Flag, Parameter(help="Separate the system's input instead of songs, as `rtsep live` does.")
    ] = False,
    model: Annotated[
        str | None, Parameter(help="Name or folder of a model. Default: the best that this machine plays.")
    ] = None,
    device: Annotated[str | None, Parameter(help="Output device, as of `rtsep play`.")] = None,
    input: Annotated[str | None, Parameter(help="Input device of --live, as of `rtsep live`.")] = None,
    listen: Annotated[
        Flag,
        Parameter(
            help="Hear the songs in the browser instead of on this machine; always where it has no output device."
        ),
    ] = False,
    page: PageOptions = PAGE,
) -> int:
    """Open the player as a page in the browser: faders, waveform, spectrograms, loops, queue.

    The page is served to this machine only, unless --host is given. Pages can be closed, opened again and be several;
    the player runs until control-C.
    """
    for package in ("starlette", "uvicorn", "websockets", "segno"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackage("rtsep ui needs packages that are not installed: pip install 'rtsep[web]'")
    if live and (files or listen):
        raise UsageError(f"--live and {'files' if files else '--listen'}: name one of them")
    if input is not None and not live:
        raise UsageError("--input is for --live")
    from rtsep.cli.session.page_session import PageSession

    if live:
        options = LiveOptions(model=model, input=input, output=device)
        with PageSession(options, page, live=True, in_browser=False) as session:
            return run_live_session(session, options)
    songs = with_folders_expanded(files)
    in_browser = listen or (device is None and why_no_output() is not None)
    play_options = PlayOptions(model=model, device=device)
    with PageSession(play_options, page, live=False, in_browser=in_browser) as session:
        from rtsep.audio.devices.discovery import find_device
        from rtsep.cli.session.play_session import play_in_browser, play_on
        from rtsep.player.device_keeper import Side

        if not songs:
            songs = session.stage.wait_for_songs()
        if in_browser:
            return play_in_browser(session, songs, play_options)
        output = Side(find_device(device), "output", or_default=device is None)
        return play_on(session, output, songs, play_options, None)
