"""Spleeter with its published weights: what its own program computes, and how well it separates the bundled song.

The golden file holds what the authors' program, spleeter 2.4.2 with TensorFlow 2.12.1 and norbert 0.2.1 on a CPU, made
of the first 20 s of the bundled song by `Separator("spleeter:2stems", MWF=…).separate(waveform)`, with the checkpoint
whose checksums are in `published.toml`: `plain` and `wiener` (stems, channels, n) at 8000 random `positions` of the
882 000, stems in the order vocals, accompaniment.
"""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.train.evaluation.evaluate import sdr_db

GOLDEN = Path(__file__).parent / "golden_spleeter.npz"
SECONDS = 20
SDR_DB = {"vocals": 3.45, "instrumental": 7.11}
"""Of these 20 s, as recorded when the authors' weights were first read here."""


def read(path: Path) -> np.ndarray:
    return np.ascontiguousarray(soundfile.read(path, SECONDS * 44100, dtype="float32")[0].T)


@pytest.fixture(scope="module")
def mixture(song: Path) -> np.ndarray:
    return read(song / "mixture.flac")


@pytest.mark.parametrize("kind", ["plain", "wiener"])
def test_waveforms_are_those_of_spleeters_own_program(kind: str, real_spleeter: Path, mixture: np.ndarray) -> None:
    separator = rtsep.load(real_spleeter, device="cpu", wiener=kind == "wiener", mask_extension="zeros")
    stems = rtsep.separate(mixture, 44100, separator)
    with np.load(GOLDEN) as golden:
        found = np.stack([stems[stem][:, golden["positions"]] for stem in ("vocals", "instrumental")])
        assert golden[kind].std() > 0.02, "a comparison of silence proves nothing"
        np.testing.assert_allclose(found, golden[kind], rtol=0, atol=2e-5)


def test_the_bundled_song_is_separated_as_well_as_recorded_and_nothing_is_lost(
    real_spleeter: Path, mixture: np.ndarray, song: Path
) -> None:
    vocals, stems = read(song / "vocals.flac"), rtsep.separate(mixture, 44100, real_spleeter)
    for stem, reference in {"vocals": vocals, "instrumental": mixture - vocals}.items():
        assert sdr_db(reference, stems[stem]) == pytest.approx(SDR_DB[stem], abs=0.02)
    assert sdr_db(mixture, stems["vocals"] + stems["instrumental"]) > 80
