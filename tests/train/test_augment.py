"""What each augmentation does to a sound that is known."""

import numpy as np
import pytest

from rtsep.train.augment import EQUALIZER_KNOTS_HZ, change_speed, equalize, longest_crop, silence_span

RATE = 44100


def tone(hz: float, samples: int) -> np.ndarray:
    return np.tile(np.sin(2 * np.pi * hz * np.arange(samples) / RATE).astype(np.float32), (2, 1))


@pytest.mark.parametrize("speed", [0.87, 1.0, 1.13])
def test_speed_moves_pitch_and_keeps_the_length_asked_for(speed: float) -> None:
    samples = 44100 + 7
    crop = np.stack([tone(440, longest_crop(samples, speed)), tone(880, longest_crop(samples, speed))])
    played = change_speed(crop, speed, samples)
    assert played.shape == (2, 2, samples) and played.dtype == np.float32
    for stem, hz in zip(played, (440, 880), strict=True):
        peak_hz = np.argmax(np.abs(np.fft.rfft(stem[0]))) * RATE / samples
        assert peak_hz == pytest.approx(hz * speed, abs=1.5)


def test_at_its_own_speed_a_crop_stays_as_it_is_and_needs_no_more() -> None:
    crop = np.stack([tone(440, 1007), tone(880, 1007)])
    assert longest_crop(1007, 1.0) == 1007
    np.testing.assert_array_equal(change_speed(crop, 1.0, 1007), crop)


def test_the_equaliser_changes_levels_within_its_range_and_shifts_nothing_in_time() -> None:
    random = np.random.default_rng(3)
    changes_db = []
    for hz in EQUALIZER_KNOTS_HZ[1:-1]:
        before = tone(hz, 30011)
        after = equalize(before, random, 6.0, RATE)
        middle = slice(5000, 25000)
        gain = np.vdot(before[:, middle], after[:, middle]) / np.vdot(before[:, middle], before[:, middle])
        assert np.abs(after - gain * before)[:, middle].max() < 0.02
        changes_db.append(20 * np.log10(gain))
    assert np.abs(changes_db).max() < 6.05 and np.std(changes_db) > 0.5


def test_a_silenced_span_is_silent_and_the_rest_untouched() -> None:
    random = np.random.default_rng(4)
    silent = 0
    for _ in range(30):
        before = np.ones((2, 44100), np.float32)
        after = before.copy()
        silence_span(after, random, RATE)
        assert ((after == 0) | (after == 1)).mean() > 0.95 and np.abs(np.diff(after)).max() < 0.002
        silent += bool((after == 0).any())
    assert silent > 10
