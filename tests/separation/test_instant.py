"""Which network is heard before another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtsep.bundle import find_bundle
from rtsep.separation.instant import instant_bundle


@pytest.mark.parametrize(
    ("model", "instant"),
    [
        ("spleeter-2stems", "frame-transformer-2stems"),
        ("spleeter-2stems-16kHz", "frame-transformer-2stems"),
        ("spleeter-4stems", "frame-transformer-4stems"),
        ("spleeter-5stems", None),  # no other has a piano
        ("vocal-remover-v5", None),  # other frames
        ("frame-transformer-2stems", None),  # it is instant itself
    ],
)
def test_a_network_of_windows_has_an_instant_one_with_its_stems_and_frames(model: str, instant: str | None) -> None:
    found = instant_bundle(find_bundle(model))
    assert (found.name if found else None) == instant


def test_an_instant_network_without_weights_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "frame-transformer-2stems" / "recipe.toml"
    recipe.parent.mkdir()
    recipe.write_text((find_bundle("frame-transformer-2stems").path / "recipe.toml").read_text())
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(tmp_path))
    assert instant_bundle(find_bundle("spleeter-2stems")) is None
