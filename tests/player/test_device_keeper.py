"""The watch over devices when something unexpected happens in it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from rtsep.audio.devices.discovery import Device
from rtsep.player.device_keeper import DeviceKeeper, Side
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind
from tests.player.fake_stream import FakeStream
from tests.waiting import wait_until

SONG = np.full((2, 2**18), 0.1, np.float32)
SIDE = Side(Device(0, "fake", "none", 2, 2, 44100.0, False, False), "output")


@pytest.fixture
def lines() -> list[str]:
    """What was reported to the user."""
    return []


@pytest.fixture
def keeper(shared: SharedState, lines: list[str]) -> Iterator[DeviceKeeper[FakeStream]]:
    """A keeper whose looks fail, with a dry song to play."""

    def fail() -> None:
        raise ZeroDivisionError("an error in the program")

    made = DeviceKeeper(
        [SIDE], lambda _: FakeStream(shared), lambda _: [shared.callback.frames], lines.append, on_look=fail
    )
    yield made
    made.stop()


def test_an_unexpected_error_is_reported_and_the_sound_goes_on(
    keeper: DeviceKeeper[FakeStream], shared: SharedState, lines: list[str]
) -> None:
    shared.mixture.restart(1, 0, 0)
    shared.mixture.write(SONG)
    shared.transport.post(0, 1, 0)
    shared.transport.playing = True
    keeper.start()
    wait_until(lambda: bool(lines))
    assert lines == [
        "device monitoring failed: ZeroDivisionError: an error in the program; "
        "playing on, but a lost device will not be reopened"
    ]
    position = shared.callback.position
    time.sleep(0.1)
    assert shared.callback.position > position
    assert shared.callback.read().kind == Kind.DRY
