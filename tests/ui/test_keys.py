"""The tables of keys: complete, unambiguous, and what help shows."""

from __future__ import annotations

from unittest.mock import Mock, call, create_autospec

import pytest

from rtsep.player.live_player import LivePlayer
from rtsep.ui.keys import LIVE_KEYS, PLAY_KEYS, KeyTable


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (" ", call.player.toggle_pause()),
        ("p", call.player.toggle_pause()),
        ("left", call.player.nudge(-5.0)),
        ("right", call.player.nudge(5.0)),
        ("down", call.player.nudge(-60.0)),
        ("up", call.player.nudge(60.0)),
        ("l", call.player.toggle_loop()),
        ("c", call.player.set_cue()),
        ("v", call.player.go_to_cue()),
        ("<", call.player.previous()),
        (">", call.player.next()),
        ("1", call.toggle_mute(0)),
        ("8", call.toggle_mute(7)),
        ("!", call.toggle_solo(0)),
        ("*", call.toggle_solo(7)),
        ("0", call.player.all_on()),
        ("b", call.player.toggle_bypass()),
        ("tab", call.select_next()),
        ("+", call.change_gain(1.0)),
        ("-", call.change_gain(-1.0)),
        (",", call.player.change_volume(-1.0)),
        (".", call.player.change_volume(1.0)),
        ("?", call.show_help()),
        ("q", call.quit()),
    ],
)
def test_keys_do_what_was_decided(key: str, expected: object) -> None:
    controls = Mock()
    binding = PLAY_KEYS.find(key)
    assert binding is not None
    binding.act(controls, key)
    assert controls.mock_calls == [expected]


def test_other_keys_do_nothing() -> None:
    assert not any(PLAY_KEYS.find(key) for key in ("9", "x", "Q", "", "ä", "escape"))


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


def test_live_has_only_keys_that_its_player_can_obey() -> None:
    """What a file player has and a live one has not: a mock of the real class refuses it."""
    controls = Mock()
    controls.player = create_autospec(LivePlayer, instance=True)
    for binding in LIVE_KEYS.bindings:
        binding.act(controls, binding.keys[0])
    for key in ("left", "right", "up", "down", "l", "c", "v", "<", ">"):
        assert LIVE_KEYS.find(key) is None
