"""Above the band that Spleeter's networks see: the stems sum to the song, or hold nothing, as the user chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import rtsep
from rtsep.bundle import find_bundle, write_bundle
from rtsep.cli.main import main
from rtsep.nn.spleeter import MASK_EXTENSIONS, Spleeter
from rtsep.nn.windowed import Windowed
from rtsep.player.file_player import FilePlayer
from rtsep.recipe import load_recipe
from rtsep.separation.backends.choose import load_stepper
from rtsep.separation.options import check_mask_extension
from rtsep.separation.processor import Processor
from rtsep.separation.stream_separator import StreamSeparator

RECIPE = """name = "small"
network = "rtsep.nn.spleeter:Spleeter"
stems = ["vocals", "instrumental"]
[stft]
bins = 1024
[net]
filters = [3, 4]
[window]
frames = 16
stride = 16
lead = 1
[live]
frames = 8
stride = 4
lookahead = 2
fade = 2
"""


@pytest.fixture(scope="module")
def spleeter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Spleeter with random weights."""
    folder = tmp_path_factory.mktemp("models") / "small"
    folder.mkdir()
    (folder / "recipe.toml").write_text(RECIPE)
    torch.manual_seed(5)
    network = Windowed(Spleeter(("vocals", "instrumental"), filters=(3, 4)), 16, 16, lead=1)
    write_bundle(folder, load_recipe(folder / "recipe.toml"), RECIPE, network.state_dict(), "none")
    return folder


def bands(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The spectrum (2, n) of samples (2, N) below 10.9 and above 11.2 kHz."""
    spectrum = np.fft.rfft(samples.astype(np.float64) * np.hanning(samples.shape[1]))
    hertz = np.fft.rfftfreq(samples.shape[1], 1 / 44100)
    return spectrum[:, hertz < 10_900], spectrum[:, hertz > 11_200]


def decibels(x: np.ndarray, reference: np.ndarray) -> float:
    return 10 * np.log10((np.abs(x) ** 2).sum() / (np.abs(reference) ** 2).sum() + 1e-30)


def live_stream(model: Path, extension: str | None) -> StreamSeparator:
    """The separator that `play` and `live` have in their worker."""
    stepper = load_stepper(find_bundle(model), "cpu", 4, live=True, mask_extension=extension)
    return StreamSeparator(Processor(stepper), 4)


@pytest.mark.parametrize("route", ["file", "live", "shifted"])
def test_stems_sum_to_the_mixture_or_are_those_of_the_authors(route: str, spleeter: Path) -> None:
    noise = 0.1 * np.random.default_rng(3).standard_normal((2, 60_000)).astype(np.float32)

    def stems(extension: str | None) -> dict[str, np.ndarray]:
        if route == "live":
            separator = live_stream(spleeter, extension)
        else:
            tta = "shifted" if route == "shifted" else None
            separator = rtsep.load(spleeter, device="cpu", tta=tta, mask_extension=extension)
        return dict(rtsep.separate(noise, 44100, separator))

    whole, octave, zeros = stems(None), stems("octave"), stems("zeros")
    assert decibels(sum(whole.values()) - noise, noise) < -80  # type: ignore[operator]
    for stem in whole:
        np.testing.assert_array_equal(whole[stem], octave[stem])
        low, high = bands(zeros[stem])
        assert decibels(high, bands(noise)[1]) < -80
        assert decibels(low - bands(whole[stem])[0], low) < -80
        assert decibels(bands(whole[stem])[1], bands(noise)[1]) > -20


def test_words_of_the_option_are_those_of_the_network() -> None:
    assert {check_mask_extension(word) for word in (None, *MASK_EXTENSIONS)} == {None, *MASK_EXTENSIONS}
    with pytest.raises(ValueError, match="mask_extension='loud': expected octave, average or zeros"):
        rtsep.load(mask_extension="loud")


def test_separate_takes_the_option(spleeter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    song = tmp_path / "song.wav"
    noise = 0.1 * np.random.default_rng(4).standard_normal((2, 50_000)).astype(np.float32)
    soundfile.write(song, noise.T, 44100, subtype="FLOAT")
    command = ["separate", str(song), "-o", str(tmp_path), "--model", str(spleeter)]
    for extension, (least_db, most_db) in {"zeros": (-300, -80), "average": (-20, 0)}.items():
        assert main([*command, "--mask-extension", extension]) == 0
        written = soundfile.read(tmp_path / "song" / "vocals.wav", dtype="float32")[0].T
        assert least_db < decibels(bands(written)[1], bands(noise)[1]) < most_db
    capsys.readouterr()
    assert main([*command, "--mask-extension", "loud"]) == 2
    assert "--mask-extension loud: expected octave, average or zeros" in capsys.readouterr().err


def test_networks_that_have_none_refuse_it(
    constant_bundle: Callable[..., Path], short_wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, why = constant_bundle(), "separates all frequencies itself: a mask extension is for Spleeter's models"
    for name in (model, "frame-transformer-2stems"):
        with pytest.raises(rtsep.UsageError, match=why):
            rtsep.load(name, mask_extension="zeros")
    command = ["separate", str(short_wav), "-o", str(tmp_path), "--model", str(model), "--mask-extension", "zeros"]
    assert main(command) == 2
    assert why in capsys.readouterr().err
    player = FilePlayer(short_wav, model=model, mask_extension="zeros")
    with player, pytest.raises(rtsep.RtsepError, match=why):
        player.open()
