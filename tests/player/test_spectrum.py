"""Spectrogram columns at the play head."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import mix_block
from rtsep.player.spectrum import BANDS, COLUMN, EDGES_HZ, MOST, WINDOW, Spectrum
from rtsep.shared.state import SharedState

RATE = 44100


def band_of(hertz: float) -> int:
    return int(np.searchsorted(EDGES_HZ, hertz)) - 1


@pytest.fixture
def playing(shared: SharedState) -> tuple[SharedState, CallbackControl]:
    """Two seconds of a tone of 1 kHz at half of full scale as mixture and, 20 dB softer, as stem."""
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE).astype(np.float32)
    for ring, gain in ((shared.mixture, 1.0), (shared.stem, 0.1)):
        ring.restart(1, 0, 0)
        ring.write(np.stack([tone, tone]) * np.float32(gain))
    shared.transport.playing = True
    shared.transport.post(0, 1, 0)
    return shared, CallbackControl(shared)


def play(control: CallbackControl, samples: int) -> None:
    mix_block(control.fields, np.zeros((samples, 2), np.float32), samples)


def test_a_tone_has_its_level_in_its_band_of_mixture_and_stem(playing: tuple[SharedState, CallbackControl]) -> None:
    shared, control = playing
    spectrum = Spectrum(shared)
    play(control, WINDOW + COLUMN)
    columns = spectrum.look()
    assert columns.begin == COLUMN and columns.levels_db.shape == (1, 2, BANDS)
    mixture, stem = columns.levels_db[0]
    assert mixture.argmax() == stem.argmax() == band_of(1000)
    assert mixture.max() == pytest.approx(-6, abs=1.5)  # 1.4 dB between two bins
    assert mixture.max() - stem.max() == pytest.approx(20, abs=0.1)
    assert mixture[: band_of(500)].max() < -70


def test_every_column_comes_once_and_one_that_looks_late_goes_on_at_the_play_head(
    playing: tuple[SharedState, CallbackControl],
) -> None:
    shared, control = playing
    spectrum = Spectrum(shared)
    play(control, WINDOW)
    begins = [spectrum.look().begin]
    for _ in range(20):
        play(control, 700)
        columns = spectrum.look()
        begins += range(columns.begin, columns.begin + len(columns.levels_db) * COLUMN, COLUMN)
    assert begins == list(range(0, begins[-1] + 1, COLUMN)) and len(begins) == 14
    assert len(spectrum.look().levels_db) == 0  # the play head has not moved
    play(control, (MOST + 2) * COLUMN)
    assert spectrum.look().begin == (shared.callback.position - WINDOW) // COLUMN * COLUMN


def test_stems_that_are_not_there_are_nan_beside_the_mixture(playing: tuple[SharedState, CallbackControl]) -> None:
    shared, control = playing
    shared.stem.clear()
    play(control, WINDOW)
    mixture, stem = Spectrum(shared).look().levels_db[0]
    assert np.isnan(stem).all() and mixture.argmax() == band_of(1000)
