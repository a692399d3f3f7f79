"""Presets on the stems of any model, the user's own, and what is said where a stem is missing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rtsep.errors import UsageError
from rtsep.player.mixer import Mixer
from rtsep.player.practice.presets import apply_preset, find_preset, load_presets, next_preset, used_preset
from rtsep.shared.state import SharedLayout, SharedState

OFF = float("-inf")


def mixer(*stems: str) -> Mixer:
    layout = SharedLayout(stems)
    shared = SharedState(layout, bytearray(layout.nbytes))
    engine: Any = SimpleNamespace(shared=shared, stems=stems, model_name="the-model")
    return Mixer(engine)


def gains(mixer: Mixer) -> list[float]:
    return [fader.gain_db for fader in mixer.faders]


def test_presets_set_all_faders_of_two_and_of_four_stems(tmp_path: Path) -> None:
    presets = load_presets(tmp_path / "none.toml")
    four, two = mixer("vocals", "drums", "bass", "other"), mixer("vocals", "instrumental")
    expected = {"karaoke": [OFF, 0, 0, 0], "drumless": [0, OFF, 0, 0], "a-cappella": [0, OFF, OFF, OFF]}
    for name, wanted in (expected | {"bass-practice": [0, 0, OFF, 0]}).items():
        four.toggle_solo(1)
        apply_preset(find_preset(presets, name), four)
        assert gains(four) == wanted
        assert used_preset(presets, four) == name
    apply_preset(presets["a-cappella"], two)
    assert gains(two) == [0, OFF]
    with pytest.raises(UsageError, match="preset drumless: the-model has no drums; it has vocals, instrumental"):
        apply_preset(presets["drumless"], two)
    assert gains(two) == [0, OFF]
    with pytest.raises(UsageError, match='no preset "x"; there are karaoke, drumless'):
        find_preset(presets, "x")


def test_one_key_goes_through_those_that_fit() -> None:
    presets, two = load_presets(Path("none.toml")), mixer("vocals", "instrumental")
    seen = []
    for _ in range(4):
        next_preset(presets, two)
        seen.append(used_preset(presets, two))
    assert seen == ["karaoke", "a-cappella", None, "karaoke"]
    two.toggle_mute(1)
    assert used_preset(presets, two) is None


def test_own_presets_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "presets.toml"
    path.write_text("[presets.soft]\nvocals = -12\nothers = 3\n[presets.karaoke]\nvocals = -20.5\n", encoding="utf-8")
    presets = load_presets(path)
    two = mixer("vocals", "instrumental")
    apply_preset(presets["soft"], two)
    assert gains(two) == [-12, 3]
    apply_preset(presets["karaoke"], two)
    assert gains(two) == [-20.5, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("presets = 3", "expected only tables"),
        ("[other]\n", "expected only tables"),
        ("[presets.a]\n", "presets.a: expected a table"),
        ("[presets.a]\nvocals = true", "presets.a.vocals = True: expected dB"),
        ("[presets.a]\nvocals = 13", "presets.a.vocals = 13: expected dB from -60 to 12"),
        ("[presets.a]\nvocals = nan", "presets.a.vocals = nan"),
        ("[presets", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_value(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "presets.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=f"presets.toml: .*{said}"):
        load_presets(path)
