"""The state as JSON: what programs rely on."""

from __future__ import annotations

import json
from pathlib import Path

from rtsep.control.state import STATE_VERSION, State, as_json
from rtsep.player.faders import Fader
from tests.snapshots import snapshot


def test_silence_is_null_and_a_file_is_its_name_only() -> None:
    player = snapshot(faders=(Fader(float("-inf")), Fader(1.5)), file=Path("/home/somebody/songs/boats.flac"))
    told = json.loads(as_json(State(STATE_VERSION, player, selected=1)))
    assert (told["version"], told["selected"]) == (STATE_VERSION, 1)
    assert told["player"]["faders"] == [
        {"gain_db": None, "muted": False, "solo": False},
        {"gain_db": 1.5, "muted": False, "solo": False},
    ]
    assert told["player"]["file"] == "boats.flac"
    assert "somebody" not in as_json(State(STATE_VERSION, player, 0)).decode()
