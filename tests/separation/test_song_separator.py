"""Whole songs through networks of fixed windows: exact length, scale, passes, and the voice's pauses mended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rtsep.nn.windowed import Windowed, WindowNetwork
from rtsep.separation.song_separator import WholeSongSeparator

STEMS = ("instrumental", "vocals")


class Level(WindowNetwork):
    """The instrumental passes where a window's magnitudes are large; remembers the largest that it saw."""

    def __init__(self, gain: float | None = None) -> None:
        super().__init__()
        self.stems, self.channels, self.bins = STEMS, 2, 1024
        self.gain, self.largest = gain, 0.0

    def forward(self, magnitudes: Tensor) -> Tensor:
        self.largest = max(self.largest, float(magnitudes.max()))
        level = magnitudes.amax(dim=(1, 2), keepdim=True).expand(-1, 2, 1025, -1)
        passing = torch.full_like(level, self.gain) if self.gain is not None else level.clamp(max=1)
        return torch.stack([passing, 1 - passing], dim=1)


def separator(network: Level, passes: str = "plain", mend: bool = False, scale: str = "running_max"):
    windowed = Windowed(network, frames=16, stride=8, lookahead=4, input_scale=scale).eval()
    return WholeSongSeparator(windowed, torch.device("cpu"), 2048, passes, mend)  # type: ignore[arg-type]


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).standard_normal((2, samples)).astype(np.float32)


@pytest.mark.parametrize("passes", ["plain", "shifted", "sliding"])
@pytest.mark.parametrize("samples", [0, 1, 1023, 40_000])
def test_stems_are_as_long_as_the_song_and_sum_to_it(samples: int, passes: str) -> None:
    song = noise(samples)
    whole = separator(Level(), passes)
    for _ in range(2):  # it is left ready for the next one
        for start in range(0, samples, 7000):
            assert whole.feed(song[:, start : start + 7000])["vocals"].shape == (2, 0)
        stems = whole.flush()
        assert tuple(stems) == STEMS and stems["vocals"].shape == song.shape
        np.testing.assert_allclose(stems["instrumental"] + stems["vocals"], song, atol=2e-5)


@pytest.mark.parametrize(("scale", "expected"), [("running_max", 1.0), ("none", None)])
def test_the_song_is_divided_by_its_loudest_magnitude_if_the_recipe_says_so(scale: str, expected: float | None) -> None:
    network = Level()
    whole = separator(network, scale=scale)
    whole.feed(noise(30_000))
    whole.flush()
    assert network.largest == pytest.approx(1.0) if expected else network.largest > 10


def test_long_pauses_of_the_voice_are_mended() -> None:
    song = noise(120 * 1024)
    for mend in (False, True):
        whole = separator(Level(gain=0.5), mend=mend)
        whole.feed(song)
        vocals = whole.flush()["vocals"][:, 10 * 1024 : 80 * 1024]
        assert bool(np.abs(vocals).max() < 1e-5) is mend


def test_other_models_are_refused(default_bundle: Path) -> None:
    from rtsep.errors import UsageError
    from rtsep.separation.load import load

    with pytest.raises(UsageError, match="tta and merge_artifacts need"):
        load(default_bundle, tta="shifted")
