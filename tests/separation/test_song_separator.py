"""Whole songs through networks of fixed windows: exact length, scale, passes, and the voice's pauses mended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rtsep.nn.windowed import Windowed, WindowNetwork
from rtsep.separation.backends.pytorch import TorchStepper
from rtsep.separation.processor import Processor
from rtsep.separation.song_separator import WholeSongSeparator
from rtsep.separation.stream_separator import StreamSeparator

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


class WindowsSeen(Level):
    """`Level`, which keeps every window."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[Tensor] = []

    def forward(self, magnitudes: Tensor) -> Tensor:
        self.windows += list(magnitudes.clone())
        return super().forward(magnitudes)


def in_a_stream(network: Level, chunk: int) -> StreamSeparator:
    windowed = Windowed(network, frames=16, stride=8, lookahead=4, input_scale="running_max").eval()
    stepper = TorchStepper(windowed, torch.device("cpu"), chunk)
    return StreamSeparator(Processor(stepper, n_fft=2048), chunk)


@pytest.mark.parametrize(("samples", "chunk"), [(60_000, 3), (40 * 1024, 32)])
def test_a_stream_that_has_learnt_its_song_equals_the_authors_plain_pass(samples: int, chunk: int) -> None:
    """Scaled by the largest magnitude of the whole song, which comes at its end; masks of whole windows.

    As far as the authors' output goes: to the last whole hop.
    """
    complete = samples // 1024 * 1024
    song = noise(samples) * np.linspace(0.01, 1, samples, dtype=np.float32) ** 2
    whole = separator(Level())
    whole.feed(song)
    expected = whole.flush()["vocals"]
    streamed = in_a_stream(Level(), chunk)
    for _ in range(2):
        assert streamed.learns
        streamed.learn([song[:, :7000], song[:, 7000:]])
        pieces = [streamed.feed(song)["vocals"], streamed.flush()["vocals"]]
        heard = np.concatenate(pieces, axis=1)
        np.testing.assert_allclose(heard[:, :complete], expected[:, :complete], atol=2e-5)
    untaught = in_a_stream(Level(), chunk)
    pieces = [untaught.feed(song)["vocals"], untaught.flush()["vocals"]]
    assert np.abs(np.concatenate(pieces, axis=1) - expected).max() > 1e-3


@pytest.mark.parametrize("samples", [30 * 1024, 30 * 1024 + 1, 31 * 1024 - 1])
def test_a_song_has_as_many_frames_as_librosa_counts(samples: int) -> None:
    """1 + samples // hop of frames that are centred; the network gets silence behind them, as its authors pad it."""
    song = np.ones((2, samples), np.float32)
    for plain in (True, False):
        network = WindowsSeen()
        made = separator(network) if plain else in_a_stream(network, 32)
        made.feed(song)
        assert made.flush()["vocals"].shape == song.shape
        kept = torch.cat([window[0, 0, 4:12] for window in network.windows])
        assert int((kept > 0).sum()) == 1 + samples // 1024


def test_other_models_are_refused(default_bundle: Path) -> None:
    from rtsep.errors import UsageError
    from rtsep.separation.load import load

    with pytest.raises(UsageError, match="tta and merge_artifacts need"):
        load(default_bundle, tta="shifted")
