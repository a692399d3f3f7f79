"""Options that several commands have: their types, what --help says of them, and what they refuse.

Whatever is wrong with a value is found while the command line is read, and ends in a UsageError of one line. Nothing
heavy is imported here, since every command's help needs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from rtsep.audio.callback.routing import Outlet, parse_routes
from rtsep.errors import ArgumentError, UsageError
from rtsep.player.faders import MAX_GAIN_DB, MIN_GAIN_DB
from rtsep.separation.backends.stepper import check_compute
from rtsep.separation.options import check_block, check_chunk, check_latency, check_tta


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


def check_seconds(seconds: float | None) -> None:
    """UsageError unless it is None or a duration."""
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"--seconds {seconds:g}: expected seconds, more than 0")


def check_start(start_s: float) -> None:
    """UsageError unless a song may begin there."""
    if not (math.isfinite(start_s) and start_s >= 0):
        raise UsageError(f"--start {start_s:g}: expected seconds, 0 or more")


def _parse_gains(_type: object, tokens: Sequence[Token]) -> tuple[tuple[str, float], ...]:
    return tuple(parse_gain(token.value) for token in tokens)


def _parse_routes(_type: object, tokens: Sequence[Token]) -> tuple[tuple[str, Outlet], ...]:
    return tuple(parse_routes(token.value for token in tokens).items())


def _checked(check: Callable[[Any], object]) -> Callable[[object, Any], None]:
    """`check` as cyclopts calls it, with the type before the value."""

    def validate(_type: object, value: Any) -> None:
        try:
            check(value)
        except ArgumentError as error:
            raise error.as_option() from None

    return validate


Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Files = Annotated[tuple[Path, ...], Parameter(negative="", help="Audio files.")]
Model = Annotated[str | None, Parameter(help="Name or folder of a model. Default: the one that comes along.")]
Compute = Annotated[str, Parameter(validator=_checked(check_compute), help="auto, cpu, cuda or cuda:N.")]
Chunk = Annotated[int, Parameter(validator=_checked(check_chunk))]
ChunkOrAuto = Annotated[int | None, Parameter(validator=_checked(check_chunk))]
Block = Annotated[
    int,
    Parameter(validator=_checked(check_block), help="Samples the devices give and take at once, 32 to 4096."),
]
LatencyMode = Annotated[str, Parameter(validator=_checked(check_latency))]
Tta = Annotated[str | None, Parameter(validator=_checked(check_tta))]
Start = Annotated[float, Parameter(validator=_checked(check_start))]
Seconds = Annotated[
    float | None, Parameter(validator=_checked(check_seconds), help="End when so many seconds were played.")
]
Gains = Annotated[
    tuple[tuple[str, float], ...],
    Parameter(
        converter=_parse_gains,
        n_tokens=1,
        metavar="STEM=DB",
        negative="",
        show_default=False,
        help="Where a fader begins, as STEM=DB: vocals=-6, from -60 to +12, or vocals=-inf for silence. May be given "
        "several times.",
    ),
]
Routes = Annotated[
    tuple[tuple[str, Outlet], ...],
    Parameter(
        converter=_parse_routes,
        n_tokens=1,
        metavar="STEM=L-R",
        negative="",
        show_default=False,
        help="Output channels of a stem, counted from 1, as STEM=L-R: vocals=3-4; or vocals=5 for a single one, mono. "
        "Stems not named stay on channels 1-2. May be given several times.",
    ),
]
NoUi = Annotated[Flag, Parameter(help="No keys and no status line; a summary at the end.")]
ReportAsJson = Annotated[Flag, Parameter(help="One JSON object on stdout at the end, and no summary.")]
