"""Panels and dialogs: spectrogram, queue, devices."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.widgets import Input

from rtsep.control.commands.base import Command
from rtsep.control.commands.devices import SetInput, SetOutput
from rtsep.control.commands.queue import GoToSong, MoveSong, RemoveSong
from rtsep.ui.app.app import PlayerScreen
from rtsep.ui.app.devices import DeviceDialog
from rtsep.ui.app.glyphs import ASCII, UNICODE, Glyphs
from rtsep.ui.app.protocol import AddSongs
from rtsep.ui.app.queue import QueueDialog, QueueList
from rtsep.ui.app.spectrogram import SpectrogramView
from tests.ui.app.stage import Stage, until


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_the_spectrogram_shows_the_mix_and_then_each_stem(glyphs: Glyphs) -> None:
    async def look() -> None:
        stage = Stage(glyphs=glyphs)
        async with stage.app.run_test(size=(80, 40)):
            await stage.started()
            stage.press("s")
            view = stage.app.screen.query_one(SpectrogramView)
            loudest = {}
            for name in ("mix", "vocals"):
                await until(lambda name=name: any(row.startswith(f" {name} ") for row in stage.rows()))
                await until(lambda: len(view._picture) > 0 and view._picture[:, -1].max() > 30)
                loudest[name] = view._picture[:, -1].argmax() / len(view._picture)
                stage.press("s")
            # 64 bands from 40 Hz to 18 kHz, the highest one above: 1 kHz lies at 0.47 of the height, 5 kHz at 0.21.
            assert loudest["mix"] == pytest.approx(0.47, abs=0.05)
            assert loudest["vocals"] == pytest.approx(0.21, abs=0.05)
            if glyphs.ascii:
                assert all(row.isascii() for row in stage.rows())

    asyncio.run(look())


def test_the_queue_is_played_from_moved_and_changed() -> None:
    async def change() -> None:
        stage = Stage()
        async with stage.app.run_test():
            await stage.started()
            await until(lambda: stage.app._queue)
            stage.press("u")
            await until(lambda: isinstance(stage.app.screen, QueueDialog) and _songs(stage).option_count == 3)
            await until(lambda: any("2 ships.flac" in row and "3:20" in row for row in stage.rows()))
            stage.press("down", "enter")
            await until(lambda: stage.done)
            stage.press("d", "K", "a")
            await until(lambda: stage.app.screen.query_one("#path", Input).has_focus)
            stage.press(*"/m", "enter")
            expected: list[Any] = [GoToSong(1), RemoveSong(1), MoveSong(1, 0), AddSongs(["/m"])]
            await until(lambda: len(stage.done) == len(expected))
            assert stage.done == expected
            stage.press("escape")
            await stage.started()

    asyncio.run(change())


def _songs(stage: Stage) -> QueueList:
    return stage.app.screen.query_one(QueueList)


@pytest.mark.parametrize(
    ("live", "keys", "chosen"),
    [(False, ("down", "enter"), SetOutput("Phones")), (True, ("down", "down", "enter"), SetInput("Mic"))],
)
def test_a_device_is_chosen_from_a_list(live: bool, keys: tuple[str, ...], chosen: Command) -> None:
    async def choose() -> None:
        stage = Stage(live)
        async with stage.app.run_test():
            await stage.started()
            await until(lambda: any("other" in row for row in stage.rows()))
            stage.press("d")
            await until(lambda: isinstance(stage.app.screen, DeviceDialog) and stage.app.focused is not None)
            stage.press(*keys)
            await until(lambda: stage.done)
            assert stage.done == [chosen]
            await until(lambda: isinstance(stage.app.screen, PlayerScreen))

    asyncio.run(choose())
