"""The mouse: a click on the waveform seeks, faders are dragged, buttons are pressed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rtsep.control.commands import mixing, navigation
from rtsep.ui.app.mixer import MixerView, columns, fader_gain_db, fader_share
from rtsep.ui.app.waveform import WaveformView
from tests.ui.app.stage import Stage, until


def with_stage(act: Callable[[Stage, Any], Awaitable[None]], live: bool = False) -> None:
    async def run() -> None:
        stage = Stage(live)
        async with stage.app.run_test(size=(80, 24)) as pilot:
            await until(lambda: any("other" in row for row in stage.rows()))
            await act(stage, pilot)

    asyncio.run(run())


def test_a_click_on_the_waveform_seeks() -> None:
    async def act(stage: Stage, pilot: Any) -> None:
        await pilot.click(WaveformView, offset=(40, 2))
        await until(lambda: stage.done)
        assert stage.done == [navigation.Seek(200 * 40.5 / 80)]

    with_stage(act)


def test_buttons_names_and_the_wheel() -> None:
    at = columns(80)

    async def act(stage: Stage, pilot: Any) -> None:
        await pilot.click(MixerView, offset=(at.mute + 1, 1))
        await pilot.click(MixerView, offset=(at.solo + 1, 2))
        await pilot.click(MixerView, offset=(at.name + 1, 3))
        await pilot.click(MixerView, offset=(at.name + 1, 4))  # the output has no name to select
        await pilot._post_mouse_events([_scroll()], MixerView, offset=(at.fader, 1))
        await until(lambda: len(stage.done) == 4)
        assert stage.done == [
            mixing.ToggleMute(1),
            mixing.ToggleSolo(2),
            mixing.Select(3),
            mixing.ChangeGain(1.0, 1),
        ]

    with_stage(act)


def _scroll() -> Any:
    from textual.events import MouseScrollUp

    return MouseScrollUp


def test_a_fader_is_dragged_also_beyond_its_ends() -> None:
    at = columns(80)

    async def act(stage: Stage, pilot: Any) -> None:
        await pilot.mouse_down(MixerView, offset=(at.fader + 4, 0))
        await pilot.hover(MixerView, offset=(at.fader + 8, 1))
        await pilot.hover(MixerView, offset=(at.name, 2))
        await pilot.mouse_up(MixerView, offset=(79, 3))
        await pilot.hover(MixerView, offset=(at.fader + 8, 1))
        await until(lambda: len(stage.done) >= 3)
        gains = [command.gain_db for command in stage.done if isinstance(command, mixing.SetGain)]
        assert all(isinstance(command, mixing.SetGain) and command.stem == 0 for command in stage.done)
        assert gains[0] is not None and gains[1] is not None and gains[0] < gains[1]
        assert gains[2] is None  # silence, at the lower end

    with_stage(act)


def test_the_volume_is_dragged_in_live_sound_too() -> None:
    async def act(stage: Stage, pilot: Any) -> None:
        await pilot.mouse_down(MixerView, offset=(columns(80).fader, 4))
        await until(lambda: stage.done)
        assert stage.done == [mixing.SetVolume(-60.0)]

    with_stage(act, live=True)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_fader_shows_the_gain_that_its_place_sets(width: int) -> None:
    at = columns(width)
    assert at.meter < at.level <= at.width == width
    cells = at.gain - at.fader - 1
    for cell in range(1, cells):
        gain_db = fader_gain_db(cell / (cells - 1))
        assert gain_db is not None
        assert round(fader_share(gain_db) * (cells - 1)) == cell
    assert fader_gain_db(0.0) is None and fader_gain_db(2.0) == 12.0
    assert fader_share(float("-inf")) == 0.0
