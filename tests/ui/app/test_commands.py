"""Every command of the table reaches the player through the app: by its keys and by the palette."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import msgspec
import pytest
from textual.widgets import Input, Static

from rtsep.control.commands import mixing, navigation
from rtsep.control.commands.base import Command
from rtsep.control.commands.session import Help, Palette, Quit, Show
from rtsep.control.table import COMMANDS, LIVE_APP_KEYS, PLAY_APP_KEYS, KeyTable
from rtsep.errors import UsageError
from rtsep.ui.app.app import PlayerScreen
from rtsep.ui.app.dialogs import KeysDialog, ValuesDialog, parse, usage
from rtsep.ui.app.palette import TableCommands
from tests.ui.app.stage import Stage, until

OF_FACES = (Help, Palette, Show)


@pytest.mark.parametrize(("live", "keys"), [(False, PLAY_APP_KEYS), (True, LIVE_APP_KEYS)], ids=["play", "live"])
def test_every_key_of_the_table_does_what_it_says(live: bool, keys: KeyTable) -> None:
    async def press_all() -> None:
        stage = Stage(live)
        async with stage.app.run_test():
            await stage.started()
            pressed = [(key, binding.command(key)) for binding in keys.bindings for key in binding.keys]
            for key, command in pressed:
                stage.press(key)
                if isinstance(command, Help | Palette) or command in (Show("queue"), Show("devices")):
                    await until(lambda: not isinstance(stage.app.screen, PlayerScreen))
                    stage.press("escape")
                    await stage.started()
            stage.press("9", "0")  # the first is no key of the table, the second comes last
            expected = [command for _, command in pressed if not isinstance(command, OF_FACES)]
            expected.append(mixing.AllOn())
            await until(lambda: len(stage.done) == len(expected))
            assert stage.done == expected

    asyncio.run(press_all())


def words(kind: type[Command]) -> str:
    """Values for the fields of a command that must be given, as a user types them."""

    def fits(value: str, type_: Any) -> bool:
        try:
            msgspec.convert(value, type_, strict=False)
        except msgspec.ValidationError:
            return False
        return True

    fields = [field for field in msgspec.structs.fields(kind) if field.required]
    return " ".join(
        next(value for value in ("1", "0.5", "99", "true", "drums") if fits(value, each.type)) for each in fields
    )


@pytest.mark.parametrize("live", [False, True], ids=["play", "live"])
def test_every_command_can_be_found_in_the_palette_and_carried_out(live: bool) -> None:
    kinds = [kind for kind in COMMANDS if (kind.live if live else kind.songs)]
    assert {kind for kind in COMMANDS if kind.live or kind.songs} == set(COMMANDS)

    async def find_all() -> None:
        stage = Stage(live)
        stage.player.stem_index.return_value = 1
        async with stage.app.run_test(size=(100, 30)):
            await stage.started()
            palette = TableCommands(stage.app.screen)
            assert len([hit async for hit in palette.discover()]) == len(kinds)
            for kind in kinds:
                stage.done.clear()
                best = max([hit async for hit in palette.search(f"({kind.name()})")], key=lambda hit: hit.score)
                best.command()
                if words(kind):
                    await until(lambda: _asks(stage))
                    stage.app.screen.query_one(Input).value = words(kind)
                    stage.press("enter")
                await until(lambda: stage.done)
                assert stage.done == [parse(kind, words(kind))]
                await stage.started()

    asyncio.run(find_all())


def _asks(stage: Stage) -> bool:
    return isinstance(stage.app.screen, ValuesDialog) and bool(stage.app.screen.query(Input))


def test_the_palette_is_typed_into() -> None:
    async def find() -> None:
        stage = Stage()
        async with stage.app.run_test(size=(40, 12)):
            await stage.started()
            stage.press(":")
            await until(lambda: stage.app.screen.query(Input))
            stage.press(*"bypass")
            await until(lambda: any("toggle_bypass" in row for row in stage.rows()))
            stage.press("enter")
            await until(lambda: stage.done)
            assert stage.done == [mixing.ToggleBypass()]

    asyncio.run(find())


def test_what_cannot_be_done_is_said_and_the_dialog_stays() -> None:
    async def ask() -> None:
        stage = Stage()
        stage.player.stem_index.side_effect = UsageError('no stem "kazoo"')
        async with stage.app.run_test():
            await stage.started()
            stage.app.ask_values(mixing.SetGain)
            await until(lambda: _asks(stage))
            dialog = stage.app.screen
            stage.press(*"kazoo", "space", *"99", "enter")
            problem = dialog.query_one("#problem", Static)
            await until(lambda: "gain_db" in str(problem.render()))
            dialog.query_one(Input).value = "kazoo -3"
            stage.press("enter")
            await until(lambda: any('no stem "kazoo"' in row for row in stage.rows()))

    asyncio.run(ask())


def test_help_shows_the_table_and_any_key_closes_it() -> None:
    async def ask() -> None:
        stage = Stage()
        async with stage.app.run_test(size=(40, 12)):
            await stage.started()
            stage.press("?")
            await until(lambda: isinstance(stage.app.screen, KeysDialog))
            stage.press("down")
            await until(lambda: stage.app.screen.query_one(".dialog").scroll_target_y > 0)
            stage.press("1")
            await stage.started()
            assert stage.done == []

    asyncio.run(ask())


def test_control_c_and_control_z_reach_the_process_that_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []

    async def press() -> None:
        stage = Stage()
        async with stage.app.run_test():
            monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
            stage.press("ctrl+c", "ctrl+z", "ctrl+q")
            await until(lambda: stage.done == [Quit()])

    asyncio.run(press())
    assert sent == [(os.getppid(), signal.SIGINT), (os.getppid(), signal.SIGTSTP)]


def test_keys_before_anything_plays_reach_it_too() -> None:
    async def press() -> None:
        stage = Stage()
        desk, stage.desk, stage.waiting = stage.desk, None, "starting"
        async with stage.app.run_test():
            await until(lambda: any("starting" in row for row in stage.rows()))
            assert not any("vocals" in row for row in stage.rows())
            stage.press("1", "q")
            await until(lambda: len(stage.done) == 2)
            stage.desk = desk
            await until(lambda: any("vocals" in row for row in stage.rows()))

    asyncio.run(press())


def test_values_are_read_as_a_user_types_them() -> None:
    assert parse(mixing.SetGain, "'my stem' -3.5") == mixing.SetGain("my stem", -3.5)
    assert parse(mixing.SetMute, "vocals true") == mixing.SetMute("vocals", True)
    assert parse(mixing.ChangeGain, "2") == mixing.ChangeGain(2.0)
    assert parse(navigation.TogglePause, "") == navigation.TogglePause()
    for kind, typed in ((mixing.SetGain, "vocals"), (navigation.Seek, "-1"), (navigation.Seek, "1 2"), (Quit, "'")):
        with pytest.raises(UsageError, match=f"^{kind.name()}: "):
            parse(kind, typed)
    assert usage(mixing.ChangeGain) == (
        "step_db: Step in dB.\n"
        "stem (may be left out): Number of a stem, counted from 0. Or: Name of a stem, such as vocals."
    )
