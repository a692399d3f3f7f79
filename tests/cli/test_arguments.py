"""Options that several commands share: parsing and checks."""

from __future__ import annotations

import pytest
from cyclopts import App

from rtsep.cli.arguments import ChunkOrAuto, Compute, Flag, Gains, Routes, Seconds, Start, parse_gain
from rtsep.errors import UsageError


def read(*words: str) -> dict[str, object]:
    """The arguments that a command with all these options gets."""
    app = App(result_action="return_value")

    @app.default
    def command(
        *,
        gain: Gains = (),
        to: Routes = (),
        chunk: ChunkOrAuto = None,
        compute: Compute = "auto",
        start: Start = 0.0,
        seconds: Seconds = None,
        loud: Flag = False,
    ) -> dict[str, object]:
        return dict(locals())

    return app(words, exit_on_error=False, print_error=False)  # type: ignore[return-value]


def test_values_are_converted() -> None:
    asked = ("--gain", "vocals=-6", "--chunk", "7", "--loud", "--gain", "drums=-inf", "--seconds", "1.5")
    asked += ("--to", "vocals=3-4", "--to", "bass=5")
    assert read(*asked) == {
        "gain": (("vocals", -6.0), ("drums", float("-inf"))),
        "to": (("vocals", (2, 3)), ("bass", (4, 4))),
        "chunk": 7,
        "compute": "auto",
        "start": 0.0,
        "seconds": 1.5,
        "loud": True,
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--chunk 33", "--chunk 33: expected 1 to 32"),
        ("--compute tpu", "--compute tpu: expected auto, cpu, cuda or cuda:N"),
        ("--seconds nan", "--seconds nan: expected seconds, more than 0"),
        ("--seconds 0", "--seconds 0: expected seconds, more than 0"),
        ("--start -0.5", "--start -0.5: expected seconds, 0 or more"),
        ("--start inf", "--start inf: expected seconds, 0 or more"),
        ("--gain drums=1 --gain vocals", "--gain vocals: expected STEM=DB"),
        ("--to drums=3-4 --to vocals=5-7", "--to vocals=5-7: expected STEM=L-R"),
        ("--to drums=3-4 --to vocals=4-5", "--to vocals=4-5: channels 3-4 are taken"),
    ],
)
def test_a_wrong_value_is_a_usage_error(words: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(*words.split())
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("vocals=-6", ("vocals", -6.0)), ("vocals=-inf", ("vocals", float("-inf"))), ("drums=+3.5", ("drums", 3.5))],
)
def test_gains(text: str, expected: tuple[str, float]) -> None:
    assert parse_gain(text) == expected


@pytest.mark.parametrize(
    "text", ["", "vocals", "vocals=", "=3", "vocals=loud", "vocals=nan", "vocals=inf", "vocals=12.1", "vocals=-61"]
)
def test_an_invalid_gain_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"STEM=DB .* -60 to \+12, or -inf"):
        parse_gain(text)
