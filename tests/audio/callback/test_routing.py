"""Where stems are sent: what may be asked for, what is refused in one line, how it is said."""

import pytest

from rtsep.audio.callback.routing import Outlet, channels_needed, check_channels, parse_routes, routes_text
from rtsep.errors import RtsepError, UsageError


def test_channels_are_counted_from_one_and_a_single_one_is_mono() -> None:
    routes = parse_routes(["vocals=3-4", " bass = 5 ", "lead guitar=3-4", "other=1-2"])
    assert routes == {"vocals": (2, 3), "bass": (4, 4), "lead guitar": (2, 3), "other": (0, 1)}
    assert routes_text(routes) == (
        "vocals to channels 3-4, bass to channel 5, lead guitar to channels 3-4, other to channels 1-2"
    )
    assert (routes["vocals"].channels, routes["bass"].channels) == ([3, 4], [5])
    assert channels_needed(routes) == 5


NO_CHANNELS = " 0 0-1 4-3 3-5 3-3 3- -4 3,4 a-b 3-4-5 1.5 \N{SUPERSCRIPT THREE} 99999".split(" ")


@pytest.mark.parametrize("text", ["", "vocals", "=3-4", *(f"vocals={channels}" for channels in NO_CHANNELS)])
def test_whatever_is_no_outlet_is_one_line(text) -> None:
    with pytest.raises(UsageError, match=r"expected STEM=L-R.*vocals=3-4") as caught:
        parse_routes([text])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["vocals=3-4", "vocals=5-6"], "--to vocals=5-6: vocals already goes to channels 3-4"),
        (["vocals=3-4", "bass=4-5"], "--to bass=4-5: channels 3-4 are taken: name others"),
        (["vocals=3-4", "bass=4"], "--to bass=4: channels 3-4 are taken: name others"),
        (["bass=4", "vocals=3-4"], "--to vocals=3-4: channel 4 is taken: name others"),
        (["vocals=2-3"], "--to vocals=2-3: channels 1-2 are taken by the main mix: name others"),
        (["vocals=1"], "--to vocals=1: channels 1-2 are taken by the main mix: name others"),
    ],
)
def test_outlets_that_overlap_are_refused(texts, reason) -> None:
    with pytest.raises(UsageError) as caught:
        parse_routes(texts)
    assert str(caught.value) == reason


def test_a_device_with_too_few_channels_is_named() -> None:
    check_channels({"vocals": Outlet(2, 3)}, "the mixer", 4)
    with pytest.raises(RtsepError, match="^cannot send vocals to channels 3-4: the mixer has 2 channels$") as caught:
        check_channels({"vocals": Outlet(2, 3)}, "the mixer", 2)
    assert caught.value.exit_code == 1
    with pytest.raises(RtsepError, match="the mixer has 1 channel$"):
        check_channels({"bass": Outlet(4, 4)}, "the mixer", 1)
