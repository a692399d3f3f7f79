"""`rtsep plot` draws what separation did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rtsep.cli.main import main


def test_the_picture_shows_the_song_before_and_after_with_masks_and_levels(
    short_wav: Path, constant_bundle: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    model = constant_bundle(vocals=0.8, instrumental=0.2)
    options = ["--model", str(model), "--seconds", "1", "--gain", "vocals=-inf"]
    assert main(["plot", str(short_wav), "-o", str(tmp_path / "a.png"), *options]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a.png'}\n"
    picture = imread(tmp_path / "a.png")[:, :, :3]
    rows = np.array_split(picture.mean(axis=2), 5)  # before, after, two masks, levels
    assert rows[1].mean() < rows[0].mean()  # 14 dB softer is darker
    assert rows[3].mean() < rows[2].mean() - 0.1  # 6 % of the power against 94 %


def test_a_wrong_stem_and_a_missing_file_end_in_one_line(
    short_wav: Path, constant_bundle: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(short_wav), "--model", str(constant_bundle()), "--gain", "banjo=1"]) == 2
    assert main(["plot", str(tmp_path / "no.wav")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "unknown stem" in said[0] and "no.wav" in said[1]
