"""A player's snapshot with everything in it, for what shows it."""

from __future__ import annotations

from pathlib import Path

from rtsep.engine.latency import Latency
from rtsep.engine.live_engine import EngineStats
from rtsep.player.faders import Fader
from rtsep.player.meters import Levels
from rtsep.player.snapshot import PlayerSnapshot
from rtsep.shared.status import Kind


def snapshot(**changes: object) -> PlayerSnapshot:
    """A song of 200 s with two stems, 65.9 s into it, except for `changes`."""
    fields: dict = {
        "file": Path("song.flac"),
        "track": 0,
        "tracks": 1,
        "loop_s": None,
        "cue_s": None,
        "position_s": 65.9,
        "length_s": 200.0,
        "playing": True,
        "ended": False,
        "kind": Kind.WET,
        "bypass": False,
        "volume_db": 0.0,
        "stems": ("vocals", "drums"),
        "faders": (Fader(), Fader(gain_db=-3.0)),
        "levels": (Levels(-12.0, -6.0), Levels()),
        "output": Levels(-15.0, -5.0),
        "latency": Latency(4096, 441, 1764),
        "late_blocks": 0,
        "dry_s": 0.0,
        "wet_s": 65.9,
        "starved_s": 0.0,
        "clipped_samples": 0,
        "frames": 1,
        "engine": EngineStats("running", 4, 10, 2, 1, 0, 5.0, 6.0, "mine"),
        "bypass_s": 0.0,
        "messages": (),
    }
    return PlayerSnapshot(**(fields | changes))
