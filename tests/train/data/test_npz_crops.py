"""Crops of spectra come back as the sound that they were made of."""

from pathlib import Path

import numpy as np
import pytest

from rtsep.train.data.npz_crops import CropReader
from rtsep.train.data.stem_plan import UnusableSong
from tests.train.sounds import noise, spectrum


def save(path: Path, **arrays: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(("n_fft", "hop", "folder"), [(2048, 1024, "plain"), (1024, 256, "cs9_sr44100_hl256_nf1024")])
def test_sound_comes_back_but_for_the_edges(tmp_path: Path, n_fft: int, hop: int, folder: str) -> None:
    sound = noise(1, 20 * 1024)
    x = spectrum(sound, n_fft, hop)
    reader = CropReader(save(tmp_path / folder / "a.npz", X=x[:, :, 3:12], c=7.0), "X")
    blocks = []
    while (block := reader.read(1000)).shape[1]:
        blocks.append(block)
    # frame t is centred at t * hop: the first hop that all overlapping frames cover begins a hop before the last
    first = (3 + n_fft // hop - 1) * hop - n_fft // 2
    back = np.concatenate(blocks, axis=1)
    assert back.shape == (2, (9 - n_fft // hop + 1) * hop)
    np.testing.assert_allclose(back, sound[:, first : first + back.shape[1]], atol=1e-6)
    assert reader.peak == pytest.approx(7.0 / (n_fft / 2))


def test_other_rates_and_mono(tmp_path: Path) -> None:
    x = spectrum(noise(1, 30 * 1024))[:1]
    reader = CropReader(save(tmp_path / "cs9_sr22050_hl1024_nf2048" / "a.npz", X=x), "X")
    back = reader.read(10**6)
    assert back.shape == (2, 2 * (x.shape[2] - 1) * 1024)
    np.testing.assert_array_equal(back[0], back[1])
    assert reader.peak == 0.0


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"X": np.zeros((2, 1025, 4))}, "expected complex"),
        ({"X": np.zeros((3, 1025, 4), complex)}, "expected complex"),
        ({"X": np.zeros((2, 1024, 4), complex)}, "do not fit a hop"),
        ({"X": np.zeros((2, 1, 4), complex)}, "do not fit a hop"),
        ({"X": np.full((2, 1025, 4), np.nan, complex)}, "NaN or infinity"),
        ({"X": np.array([{}], object)}, "cannot be read"),
    ],
)
def test_what_is_no_crop_is_told(tmp_path: Path, arrays: dict[str, np.ndarray], reason: str) -> None:
    path = save(tmp_path / "cs9_sr44100_hl1024_nf2048" / "a.npz", **arrays)
    with pytest.raises(UnusableSong, match=reason):
        CropReader(path, "X")


def test_fewer_frames_than_overlap_are_no_sound(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", X=np.zeros((2, 1025, 1), complex))
    assert CropReader(path, "X").read(100).shape == (2, 0)
