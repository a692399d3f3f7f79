"""The watch over devices when something unexpected happens in it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from rtsep.audio.devices.discovery import Device
from rtsep.errors import RtsepError
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


def test_another_device_may_be_chosen_and_one_that_fails_leaves_the_old_one(
    shared: SharedState, lines: list[str]
) -> None:
    first, second, broken = (Device(index, "abc"[index], "none", 0, 2, 44100.0, False, False) for index in range(3))
    opened: list[tuple[str, FakeStream]] = []

    def open_on(device: Device) -> FakeStream:
        assert not any(stream.running for _, stream in opened), "two callbacks share a state"
        if device is broken:
            raise RtsepError('device "c" is in use')
        opened.append((device.name, FakeStream(shared)))
        return opened[-1][1]

    shared.mixture.restart(1, 0, 0)
    shared.mixture.write(SONG)
    shared.transport.post(0, 1, 0)
    shared.transport.playing = True
    side = Side(first, "output")
    keeper = DeviceKeeper([side], open_on, lambda _: [shared.callback.frames], lines.append)
    keeper.start()
    keeper.change("output", second)
    wait_until(lambda: side.device is second)
    keeper.change("output", broken)
    wait_until(lambda: len(opened) == 3)
    position = shared.callback.position
    wait_until(lambda: shared.callback.position > position)  # the sound goes on
    keeper.stop()
    assert [name for name, _ in opened] == ["a", "b", "b"]
    assert lines == ['device "c" is in use; back to the device that was used before']
