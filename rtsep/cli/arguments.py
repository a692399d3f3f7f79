"""Options that several commands share: their types, help texts and checks.

A wrong value is found while the command line is parsed, and raises a UsageError of one line. Nothing heavy is imported
here, since the help of every command needs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from rtsep.audio.callback.routing import Outlet, parse_routes
from rtsep.errors import ArgumentError, UsageError
from rtsep.live_settings import check_live_latency
from rtsep.player.faders import MAX_GAIN_DB, MIN_GAIN_DB
from rtsep.player.practice.limits import check_key, check_speed
from rtsep.separation.backends.stepper import check_compute
from rtsep.separation.options import check_block, check_chunk, check_mask_extension, check_tta


def parse_gain(text: str, option: str = "--gain") -> tuple[str, float]:
    """Parse ``vocals=-6`` to ("vocals", -6.0): -60 to +12 dB, or -inf. Raises UsageError."""
    stem, equals, number = text.partition("=")
    try:
        gain_db = float(number)
    except ValueError:
        gain_db = float("nan")
    if not (stem and equals and (gain_db == -math.inf or MIN_GAIN_DB <= gain_db <= MAX_GAIN_DB)):
        raise UsageError(
            f"{option} {text}: expected STEM=DB with DB from {MIN_GAIN_DB:g} to {MAX_GAIN_DB:+g}, or -inf for silence; "
            "for example vocals=-6"
        )
    return stem.strip(), gain_db


def check_seconds(seconds: float | None) -> None:
    """Raise UsageError unless `seconds` is None or a duration."""
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"--seconds {seconds:g}: expected seconds, more than 0")


def check_start(start_s: float) -> None:
    """Raise UsageError unless playback can start at `start_s`."""
    if not (math.isfinite(start_s) and start_s >= 0):
        raise UsageError(f"--start {start_s:g}: expected seconds, 0 or more")


def check_files(files: Sequence[Path]) -> None:
    """Raise UsageError for `-`, unless there is a file of that name."""
    if Path("-") in files and not Path("-").exists():
        raise UsageError("-: reading audio from stdin is not supported; save it to a file and name that")


def check_folder(folder: Path | str | None) -> None:
    """Raise UsageError for `-`, unless there is a folder of that name."""
    if folder is not None and folder == Path("-") and not Path(folder).exists():
        raise UsageError("-: writing audio to stdout is not supported; name a folder")


def _parse_place(_type: object, tokens: Sequence[Token]) -> Path | str:
    """A folder, or a URL as text."""
    place = tokens[0].value
    return place if "://" in place else Path(place)


def _parse_mix(_type: object, tokens: Sequence[Token]) -> tuple[tuple[str, float], ...]:
    return tuple(parse_gain(token.value, "--mix") for token in tokens)


def _parse_jobs(_type: object, tokens: Sequence[Token]) -> int | None:
    text = tokens[0].value
    if text == "auto":
        return None
    if not (text.isdecimal() and int(text) >= 1):
        raise UsageError(f"--jobs {text}: expected a number of songs, 1 or more, or auto")
    return int(text)


def _parse_stems(_type: object, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(stem.strip() for token in tokens for stem in token.value.split(",") if stem.strip())


def _parse_gains(_type: object, tokens: Sequence[Token]) -> tuple[tuple[str, float], ...]:
    return tuple(parse_gain(token.value) for token in tokens)


def _parse_routes(_type: object, tokens: Sequence[Token]) -> tuple[tuple[str, Outlet], ...]:
    return tuple(parse_routes(token.value for token in tokens).items())


def _checked(check: Callable[[Any], object]) -> Callable[[object, Any], None]:
    """Return `check` as cyclopts calls it, with the type before the value."""

    def validate(_type: object, value: Any) -> None:
        try:
            check(value)
        except ArgumentError as error:
            raise error.as_option() from None

    return validate


def _repeatable(converter: Callable[[object, Sequence[Token]], object], metavar: str, help: str) -> Parameter:
    return Parameter(converter=converter, n_tokens=1, metavar=metavar, negative="", show_default=False, help=help)


Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Files = Annotated[
    tuple[Path, ...], Parameter(negative="", validator=_checked(check_files), help="Audio files, or folders of them.")
]
InputFiles = Annotated[
    tuple[Path, ...],
    Parameter(negative="", help="Audio files, folders of them, patterns, playlists, or - for audio on stdin."),
]
OutputFolder = Annotated[Path, Parameter(validator=_checked(check_folder))]
OutputPlace = Annotated[Path | str, Parameter(converter=_parse_place, validator=_checked(check_folder))]
Model = Annotated[str | None, Parameter(help="Name or folder of a model. Default: the bundled two-stem model.")]
ModelOrBest = Annotated[
    str | None,
    Parameter(help="Name or folder of a model. Default: the best whose weights are here and that this machine plays."),
]
Compute = Annotated[
    str, Parameter(validator=_checked(check_compute), help="Processor for the network: auto, cpu, cuda or cuda:N.")
]
Chunk = Annotated[int, Parameter(validator=_checked(check_chunk))]
ChunkOrAuto = Annotated[int | None, Parameter(validator=_checked(check_chunk))]
Block = Annotated[int, Parameter(validator=_checked(check_block), help="Audio block size in samples, 32 to 4096.")]
LiveLatency = Annotated[str, Parameter(validator=_checked(check_live_latency))]
Tta = Annotated[str | None, Parameter(validator=_checked(check_tta))]
MaskExtension = Annotated[
    str | None,
    Parameter(
        validator=_checked(check_mask_extension),
        help="For Spleeter's models, whose masks end at 11 kHz: how they continue above. octave: by the mean of their "
        "top octave, so that the stems sum to the song; average: by the mean of all of the mask; zeros: not at all, "
        "which gives Spleeter's own result. Default: the model's, octave.",
    ),
]
Start = Annotated[float, Parameter(validator=_checked(check_start))]
Speed = Annotated[
    float,
    Parameter(validator=_checked(check_speed), help="Speed, 0.25 to 2: 0.8 is 20 % slower. The key stays."),
]
Key = Annotated[
    float,
    Parameter(
        validator=_checked(check_key),
        help="Semitones up or down, -12 to 12; 0.5 is 50 cents. The speed stays. Not with --to, as --speed.",
    ),
]
Seconds = Annotated[float | None, Parameter(validator=_checked(check_seconds), help="Stop after this many seconds.")]
Gains = Annotated[
    tuple[tuple[str, float], ...],
    _repeatable(
        _parse_gains,
        "STEM=DB",
        "Initial fader position in dB, such as vocals=-6: -60 to +12, or -inf to mute. Repeatable.",
    ),
]
Mix = Annotated[
    tuple[tuple[str, float], ...],
    Parameter(converter=_parse_mix, n_tokens=1, metavar="STEM=DB", negative="", show_default=False),
]
Stems = Annotated[
    tuple[str, ...],
    Parameter(converter=_parse_stems, n_tokens=1, metavar="STEM,STEM", negative="", show_default=False),
]
Jobs = Annotated[int | None, Parameter(converter=_parse_jobs, n_tokens=1, metavar="N", negative="", show_default=False)]
Format = Literal["wav", "flac", "mp3", "ogg", "opus", "m4a", "stem.mp4"]
Routes = Annotated[
    tuple[tuple[str, Outlet], ...],
    _repeatable(
        _parse_routes,
        "STEM=L-R",
        "Output channels of a stem, counted from 1: vocals=3-4, or vocals=5 for one channel, in mono. "
        "The other stems stay on channels 1-2. Repeatable.",
    ),
]
NoUi = Annotated[Flag, Parameter(help="Disable the keys and the status line.")]
ReportAsJson = Annotated[Flag, Parameter(help="Print one JSON object at the end instead of a summary.")]
