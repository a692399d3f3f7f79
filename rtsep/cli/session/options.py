"""The options of a run: what `play` and `live` have in common, and what each adds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rtsep.cli.arguments import (
    Block,
    Chunk,
    ChunkOrAuto,
    Compute,
    Flag,
    Gains,
    Key,
    LiveLatency,
    MaskExtension,
    ModelOrBest,
    NoUi,
    ReportAsJson,
    Routes,
    Seconds,
    Speed,
    Start,
)
from rtsep.errors import UsageError


def checked_port(_type: object, port: int) -> None:
    """Raise UsageError unless `port` is one."""
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: expected 0 to 65535")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PlaybackOptions:
    """What every run has: the model, its faders and where they go, and how it is shown."""

    model: ModelOrBest = None
    preset: Annotated[
        str | None,
        Parameter(
            help="Initial faders of all stems: karaoke, drumless, a-cappella, bass-practice, or one of your own from "
            "presets.toml. --gain comes after it."
        ),
    ] = None
    gain: Gains = ()
    to: Routes = ()
    compute: Compute = "auto"
    mask_extension: MaskExtension = None
    seconds: Seconds = None
    no_ui: NoUi = False
    json: ReportAsJson = False


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PlayOptions(PlaybackOptions):
    """Options of `rtsep play`."""

    device: Annotated[
        str | None,
        Parameter(help="Output device: its number, name or a unique part of the name. Default: the system's."),
    ] = None
    chunk: Annotated[
        ChunkOrAuto,
        Parameter(help="Frames per network step, 1 to 32. Default: few at first, more as the lead grows."),
    ] = None
    start: Annotated[Start, Parameter(help="Position in the first file to start at, in seconds.")] = 0.0
    speed: Speed = 1.0
    key: Key = 0.0
    resume: Annotated[
        Flag, Parameter(help="Continue the first file, or without files the last song, where it was left.")
    ] = False
    recent: Annotated[Flag, Parameter(help="List the songs that were played last, and play nothing.")] = False
    no_state: Annotated[
        Flag,
        Parameter(
            help="Neither restore nor remember faders, volume, device and position. Always so with --no-ui, --json, "
            "and without a terminal."
        ),
    ] = False
    ahead: Annotated[
        Flag,
        Parameter(
            help="Separate songs before they play, for models that are too slow for real time here. The "
            "bundled model with the same stems plays until theirs are ready; without one a song starts as soon as the "
            "rest of it will be ready in time. Always on for HT Demucs."
        ),
    ] = False


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LiveOptions(PlaybackOptions):
    """Options of `rtsep live`."""

    input: Annotated[
        str | None,
        Parameter(
            help="Input device: its number, name or a unique part of the name. Default: the system's. To separate what "
            "the system plays, name a monitor or loopback device. Of more than two channels the first two are used."
        ),
    ] = None
    output: Annotated[str | None, Parameter(help="Output device, named the same way.")] = None
    app: Annotated[
        str | None,
        Parameter(
            help="Instead of an input: a program that plays now, by a part of its name, or all for every program "
            "(Linux). Its sound is separated and heard where it was before; all is put back at the end. "
            "`rtsep devices --apps` lists them."
        ),
    ] = None
    setup: Annotated[
        Flag, Parameter(help="Ask a few questions and print the command that separates what the system plays.")
    ] = False
    latency: Annotated[
        LiveLatency,
        Parameter(
            help="The synthesis: standard, medium or low; 93, 70 or 46 ms. The shorter ones cost some quality. "
            "Standard also keeps 10 ms in reserve for a brief stall of the machine, the others 2 ms. Or the most "
            "milliseconds, such as 162: the model's best setting within them; `rtsep models list` shows them."
        ),
    ] = "standard"
    chunk: Annotated[
        Chunk, Parameter(help="Frames per network step, 1 to 32. Each beyond the first adds 23 ms of latency.")
    ] = 1
    block: Block = 256
    record: Annotated[Path | None, Parameter(help="Folder to record to: mixture.wav and one file for each stem.")] = (
        None
    )
    allow_feedback: Annotated[
        Flag, Parameter(help="Play even if the input would pick up the output, and through any feedback loop.")
    ] = False


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Where the page of `rtsep ui` is served."""

    host: Annotated[
        str | None,
        Parameter(
            help="Serve other machines too: an address of this one, or 0.0.0.0 for all of them. The terminal shows a "
            "link and a QR code that let one device in. Default: this machine only."
        ),
    ] = None
    port: Annotated[int, Parameter(validator=checked_port, help="Port of the page; 0 for any that is free.")] = 7833
    no_browser: Annotated[Flag, Parameter(help="Do not open the browser.")] = False
