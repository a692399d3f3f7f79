"""Songs cut into overlapping segments and put together again, whatever their length and however they are fed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from rtsep.bundle import Bundle
from rtsep.errors import RtsepError, UsageError
from rtsep.nn.segment_network import SegmentNetwork, check_segments
from rtsep.separation.load import load
from rtsep.separation.processor import BrokenNetwork
from rtsep.separation.segment_separator import SegmentSeparator
from tests.networks import Ramps

LENGTHS = [0, 1, 2, 499, 999, 1000, 1001, 1750, 3017]
RECIPE = """name = "ramps"
network = "tests.networks:Ramps"
stems = ["vocals", "instrumental"]
[net]
segment = 600
[segments]
overlap = 0.5
"""


def noise(samples: int) -> np.ndarray:
    return (0.1 + 0.5 * np.random.default_rng(samples).standard_normal((2, samples))).astype(np.float32)


def separator(segment: int = 1000, overlap: float = 0.25) -> SegmentSeparator:
    return SegmentSeparator(Ramps(segment=segment).eval(), torch.device("cpu"), overlap)


def fed(separator: SegmentSeparator, song: np.ndarray, blocks: Sequence[int]) -> np.ndarray:
    """Stems (S, C, n) of a song fed in blocks of the given sizes, over and over."""
    pieces, position, turn = [], 0, 0
    while position < song.shape[1]:
        size = blocks[turn % len(blocks)]
        pieces.append(separator.feed(song[:, position : position + size]))
        position, turn = position + size, turn + 1
    pieces.append(separator.flush())
    return np.stack([np.concatenate([piece[stem] for piece in pieces], axis=1) for stem in separator.stems])


def at_once(song: np.ndarray, segment: int, overlap: float) -> np.ndarray:
    """The same with the whole song in hand, as it is told in words."""
    network, samples = Ramps(segment=segment), song.shape[1]
    mono = song.mean(axis=0, dtype=np.float64)
    mean, deviation = (mono.mean(), mono.std(ddof=1) + 1e-8) if samples > 1 else (0.0, 1.0)
    scaled = np.pad((song - mean) / deviation, ((0, 0), (segment, segment)))
    weight = np.minimum(np.arange(1, segment + 1), np.arange(segment, 0, -1)).astype(float)
    total, weights = np.zeros((2, 2, samples)), np.zeros(samples)
    for offset in range(0, samples, int((1 - overlap) * segment)):
        length = min(samples - offset, segment)
        before = (segment - length) // 2
        begin = segment + offset - before
        piece = torch.from_numpy(scaled[:, begin : begin + segment].astype(np.float32))
        stems = network(piece[None])[0].numpy()[:, :, before : before + length]
        total[:, :, offset : offset + length] += weight[:length] * stems
        weights[offset : offset + length] += weight[:length]
    return total / weights * deviation + mean


@pytest.mark.parametrize(("segment", "overlap"), [(1000, 0.25), (600, 0.6), (334, 0.0)])
@pytest.mark.parametrize("samples", LENGTHS)
def test_a_stream_gives_what_the_whole_song_gives(samples: int, segment: int, overlap: float) -> None:
    song = noise(samples)
    expected = at_once(song, segment, overlap)
    made = separator(segment, overlap)
    for blocks in ([1, 64, 333], [5000]):
        made.learn(np.split(song, [samples // 3], axis=1))
        found = fed(made, song, blocks)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(fed(made, song, [700]), expected, atol=2e-6)  # without having learnt it


def test_stems_come_as_soon_as_they_are_certain() -> None:
    song = noise(5000)
    made = separator()
    made.learn([song])
    given = [made.feed(block)["vocals"].shape[1] for block in np.split(song, 50, axis=1)]
    assert np.flatnonzero(given).tolist() == [9, 17, 24, 32, 39, 47, 49]  # with the last sample of each segment
    assert [count for count in given if count] == [750] * 6 + [500]


def test_another_song_than_was_learnt_is_noticed() -> None:
    song = noise(1500)
    for length in (1499, 1501):
        made = separator()
        made.learn([noise(length)])
        with pytest.raises(ValueError, match=str(length)):
            fed(made, song, [1000])
        assert fed(made, song, [1000]).shape == (2, 2, 1500)  # it is left ready for the next one


def test_values_that_are_no_numbers_are_refused() -> None:
    song = np.zeros((2, 900_000), np.float32)
    song[:, 500] = 1.0
    made = separator()
    made.learn([song])
    song[:, :1000] = 1.0  # far louder than what was learnt
    with pytest.raises(BrokenNetwork):
        fed(made, song, [5000])


def test_a_bundle_with_segments_is_loaded_checked_and_separated(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    made = load(tmp_path)
    assert isinstance(made, SegmentSeparator)
    song = noise(1999)
    np.testing.assert_allclose(fed(made, song, [100]), at_once(song, 600, 0.5), atol=2e-6)
    assert check_segments(Bundle(tmp_path).load_segment_network()) == []
    with pytest.raises(UsageError, match="Wiener"):
        load(tmp_path, wiener=True)
    with pytest.raises(RtsepError, match="whole segments"):
        Bundle(tmp_path).load_network()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("overlap = 0.5", "overlap = 1.0"), "overlap"),
        (("[segments]\noverlap = 0.5", ""), r"needs \[segments\]"),
        (("[segments]", "[window]\nframes = 8\nstride = 8\n[segments]"), "exclude each other"),
        (("tests.networks:Ramps", "rtsep.nn.spleeter:Spleeter"), "Spleeter"),
    ],
)
def test_recipes_that_do_not_fit_are_one_line(change: tuple[str, str], complaint: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE.replace(*change).replace("segment = 600", "", "Spleeter" in change[1]))
    with pytest.raises(RtsepError, match=complaint) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


class Wrong(SegmentNetwork):
    def __init__(self, stems: torch.Tensor) -> None:
        super().__init__()
        self.stems, self.channels, self.segment_samples, self._given = ("vocals", "other"), 2, 500, stems

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        return self._given / mixture.abs().sum()


def test_the_check_names_what_is_wrong() -> None:
    assert "expected (1, 2, 2, 500)" in check_segments(Wrong(torch.zeros(1, 2, 2, 499)))[0]
    assert "silence" in check_segments(Wrong(torch.ones(1, 2, 2, 500)))[0]
    assert "not finite" in check_segments(Wrong(torch.full((1, 2, 2, 500), torch.inf)))[0]
