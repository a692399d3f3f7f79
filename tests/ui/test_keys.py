"""The one table of keys: complete, unambiguous, and what help shows."""

from __future__ import annotations

from unittest.mock import Mock, call

import pytest

from rtsep.ui.keys import BINDINGS, help_markdown, help_sentence, help_text, press


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
        ("1", call.toggle_mute(0)),
        ("8", call.toggle_mute(7)),
        ("!", call.toggle_solo(0)),
        ("*", call.toggle_solo(7)),
        ("0", call.all_on()),
        ("b", call.toggle_bypass()),
        ("tab", call.select_next()),
        ("+", call.change_gain(1.0)),
        ("-", call.change_gain(-1.0)),
        (",", call.change_volume(-1.0)),
        (".", call.change_volume(1.0)),
        ("?", call.toggle_help()),
        ("q", call.quit()),
    ],
)
def test_keys_do_what_was_decided(key: str, expected: object) -> None:
    controls = Mock()
    assert press(key, controls)
    assert controls.mock_calls == [expected]


def test_other_keys_do_nothing() -> None:
    controls = Mock()
    for key in ("9", "x", "Q", "", "ä", "escape"):
        assert not press(key, controls)
    assert not controls.mock_calls


def test_no_key_stands_for_two_things() -> None:
    keys = [key for binding in BINDINGS for key in binding.keys]
    assert len(keys) == len(set(keys))


def test_help_comes_from_the_table() -> None:
    for made in (help_text(), help_sentence(), help_markdown()):
        for binding in BINDINGS:
            assert binding.shown in made
            assert binding.text in made
    assert len(help_text().splitlines()) == len(BINDINGS)
