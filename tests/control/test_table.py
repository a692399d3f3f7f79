"""The table of commands and keys: complete, unambiguous, and what help shows."""

from __future__ import annotations

from typing import Any
from unittest.mock import _Call, call, create_autospec

import msgspec
import pytest

from rtsep.control.commands import mixing
from rtsep.control.commands.base import Command
from rtsep.control.commands.session import Help, Quit
from rtsep.control.desk import Desk
from rtsep.control.table import COMMANDS, LIVE_KEYS, PLAY_KEYS, KeyTable
from rtsep.errors import UsageError
from rtsep.player import faders
from rtsep.player.file_player import FilePlayer
from rtsep.player.live_player import LivePlayer
from rtsep.player.practice.presets import Preset

STEMS = tuple(f"stem {number}" for number in range(8))


def desk_of(kind: type[FilePlayer] | type[LivePlayer]) -> tuple[Desk, Any]:
    """A desk with a player that has what its class has and records what is asked of it."""
    player = create_autospec(kind, instance=True, stems=STEMS, faders=(faders.Fader(),) * len(STEMS))
    return Desk(player), player


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (" ", call.toggle_pause()),
        ("p", call.toggle_pause()),
        ("left", call.nudge(-5.0)),
        ("right", call.nudge(5.0)),
        ("down", call.nudge(-60.0)),
        ("up", call.nudge(60.0)),
        ("l", call.toggle_loop()),
        ("c", call.set_cue()),
        ("v", call.go_to_cue()),
        ("<", call.previous()),
        (">", call.next()),
        ("[", call.change_speed(-0.05)),
        ("]", call.change_speed(0.05)),
        ("backspace", call.set_speed(1.0)),
        ("{", call.change_key(-1.0)),
        ("}", call.change_key(1.0)),
        ("1", call.toggle_mute(0)),
        ("8", call.toggle_mute(7)),
        ("!", call.toggle_solo(0)),
        ("*", call.toggle_solo(7)),
        ("0", call.all_on()),
        ("b", call.toggle_bypass()),
        ("+", call.change_gain(0, 1.0)),
        ("-", call.change_gain(0, -1.0)),
        (",", call.change_volume(-1.0)),
        (".", call.change_volume(1.0)),
    ],
)
def test_keys_do_what_was_decided(key: str, expected: _Call) -> None:
    desk, player = desk_of(FilePlayer)
    command = PLAY_KEYS.find(key)
    assert command is not None
    desk.do(command)
    assert player.mock_calls == [expected]


def test_tab_goes_round_and_quit_ends() -> None:
    desk, _ = desk_of(FilePlayer)
    seen = []
    for _ in range(9):
        seen.append(desk.selected)
        desk.do(PLAY_KEYS.find("tab") or Help())
    assert seen == [*range(8), 0]
    assert not desk.over.is_set()
    desk.do(PLAY_KEYS.find("q") or Help())
    assert desk.over.is_set()
    assert isinstance(PLAY_KEYS.find("?"), Help)


def test_other_keys_do_nothing() -> None:
    assert not any(PLAY_KEYS.find(key) for key in ("9", "Q", "", "ä", "escape"))


@pytest.mark.parametrize("table", [PLAY_KEYS, LIVE_KEYS])
def test_no_key_stands_for_two_things(table: KeyTable) -> None:
    keys = [key for binding in table.bindings for key in binding.keys]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("table", [PLAY_KEYS, LIVE_KEYS])
def test_help_comes_from_the_table(table: KeyTable) -> None:
    for made in (table.text(), table.sentence(), table.markdown()):
        for binding in table.bindings:
            assert binding.shown in made
            assert binding.text in made
    assert len(table.text().splitlines()) == len(table.bindings)


def test_every_key_stands_for_a_command_that_programs_can_send_too() -> None:
    for table in (PLAY_KEYS, LIVE_KEYS):
        kinds = {type(command) for binding in table.bindings for command in binding.commands}
        assert kinds <= {*COMMANDS, Help}


def test_live_has_only_keys_that_its_player_can_obey() -> None:
    """What a file player has and a live one has not: a mock of the real class refuses it."""
    desk, _ = desk_of(LivePlayer)
    for binding in LIVE_KEYS.bindings:
        desk.do(binding.commands[0])
    for key in ("left", "right", "up", "down", "l", "c", "v", "<", ">"):
        assert LIVE_KEYS.find(key) is None


def some(kind: type[Command]) -> Command:
    """A command of that kind whose names are "stem 1", whose numbers are 1, 0.5 or 100, and whose switches are on."""

    def fits(value: object, type_: Any) -> bool:
        try:
            msgspec.convert(value, type_)
        except msgspec.ValidationError:
            return False
        return True

    fields = msgspec.structs.fields(kind)
    values = {field.name: next(v for v in ("stem 1", 1, 0.5, 100, True) if fits(v, field.type)) for field in fields}
    return msgspec.convert(values | {"command": kind.name()}, kind)


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.name())
def test_every_command_can_be_carried_out_or_says_who_has_it(kind: type[Command]) -> None:
    for player in (FilePlayer, LivePlayer):
        desk, mock = desk_of(player)
        mock.stem_index.return_value = 1
        desk._presets = {"stem 1": Preset("stem 1", {})}
        if not (kind.live if player is LivePlayer else kind.songs):
            expected = "only" if player is FilePlayer else "not"
            with pytest.raises(UsageError, match=f"^{kind.name()}: {expected} possible with live sound$"):
                desk.do(some(kind))
        else:
            desk.do(some(kind))
            assert mock.mock_calls or kind in (Quit, mixing.SelectNext)


def test_commands_have_a_name_and_a_line_of_help_each() -> None:
    names = [kind.name() for kind in COMMANDS]
    assert len(set(names)) == len(names)
    assert "toggle_mute" in names and "set_gain" in names
    assert all(kind.text() and not kind.text().endswith(".") for kind in COMMANDS)


def test_gains_have_the_range_of_the_faders() -> None:
    for gain_db, is_possible in ((faders.MIN_GAIN_DB, True), (faders.MAX_GAIN_DB, True), (-60.1, False), (12.1, False)):
        sent = {"command": "set_gain", "stem": "vocals", "gain_db": gain_db}
        if is_possible:
            assert msgspec.convert(sent, mixing.SetGain).gain_db == gain_db
        else:
            with pytest.raises(msgspec.ValidationError, match="gain_db"):
                msgspec.convert(sent, mixing.SetGain)


def test_a_stem_that_is_not_there_is_a_line_for_the_user() -> None:
    desk, player = desk_of(FilePlayer)
    player.stems = ("vocals", "instrumental")
    with pytest.raises(UsageError, match="^no stem 3; the model has vocals, instrumental$"):
        desk.do(mixing.ToggleMute(2))
    assert not player.toggle_mute.called
