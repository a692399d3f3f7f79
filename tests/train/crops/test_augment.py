"""What each augmentation does to a sound that is known, and what all of them keep."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rtsep.train.crops import augment, codec
from rtsep.train.crops.speed import SPARE, change_speed, fast_size, played_samples

Float32 = NDArray[np.float32]
RATE = 44100


def changed(augmentation: Callable[..., None], crop: Float32, random: np.random.Generator, *settings: float) -> Float32:
    """What an augmentation of batches makes of one crop (S, 2, N)."""
    crops = torch.from_numpy(crop.copy())[None]
    augmentation(crops, [random], *settings)
    return crops[0].numpy()


def code(crop: Float32, random: np.random.Generator) -> Float32:
    return codec.code_and_decode(crop, random, RATE)


def tone(hz: float, samples: int) -> Float32:
    return np.tile(np.sin(2 * np.pi * hz * np.arange(samples) / RATE).astype(np.float32), (2, 1))


def noise(stems: int, samples: int, seed: int = 1) -> Float32:
    return (0.1 * np.random.default_rng(seed).standard_normal((stems, 2, samples))).astype(np.float32)


def level_db(x: Float32, reference: Float32) -> float:
    return float(10 * np.log10(np.sum(np.square(x, dtype=np.float64)) / np.sum(np.square(reference, dtype=np.float64))))


def generator(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


ALL: dict[str, Callable[[Float32, np.random.Generator], Float32]] = {
    "double": lambda crop, random: changed(augment.double, crop, random, 0.7, RATE),
    "reverberate": lambda crop, random: changed(augment.reverberate, crop, random, 0.7, RATE),
    "equalize": lambda crop, random: changed(augment.equalize, crop, random, 6.0, RATE),
    "vary_gain": lambda crop, random: changed(augment.vary_gain, crop, random, 4.0),
    "flip_polarity": lambda crop, random: changed(augment.flip_polarity, crop, random, 0.7),
    "swap_channels": lambda crop, random: changed(augment.swap_channels, crop, random, 0.7),
    "drop_channel": lambda crop, random: changed(augment.drop_channel, crop, random, 0.7),
    "silence_span": lambda crop, random: changed(augment.silence_span, crop, random, 1.0, RATE),
    "leave_out": lambda crop, random: changed(augment.leave_out, crop, random, 1.0),
    "make_mono": lambda crop, random: changed(augment.make_mono, crop, random, 1.0),
    "code_and_decode": code,
}


@pytest.mark.parametrize("stems", [1, 2, 5])
@pytest.mark.parametrize("name", ALL)
def test_a_crop_goes_in_and_a_crop_comes_out(name: str, stems: int) -> None:
    crop = noise(stems, 9001)
    crop[0] = 0.0
    before = crop.copy()
    after, again = ALL[name](crop, generator()), ALL[name](crop, generator())
    assert after.shape == crop.shape and after.dtype == np.float32
    assert np.isfinite(after).all()
    np.testing.assert_array_equal(after, again)  # the generator alone decides
    np.testing.assert_array_equal(crop, before)
    assert not after[0].any(), "silence stays silence"
    if stems > 1 and name not in ("leave_out", "make_mono"):
        others = (ALL[name](crop, generator(seed)) for seed in range(30))
        assert any(not np.array_equal(other, after) for other in others), "it is random"


@pytest.mark.parametrize("name", ["double", "reverberate", "silence_span", "leave_out", "make_mono"])
def test_without_a_chance_nothing_happens(name: str) -> None:
    crop, arguments = noise(3, 1009), () if name in ("leave_out", "make_mono") else (RATE,)
    for seed in range(5):
        np.testing.assert_array_equal(changed(getattr(augment, name), crop, generator(seed), 0.0, *arguments), crop)


def test_a_share_of_the_stems_is_meant() -> None:
    crop = noise(4, 11)
    turned = [changed(augment.flip_polarity, crop, generator(seed), 0.25) for seed in range(400)]
    share = np.mean([(after * crop).sum(axis=(1, 2)) < 0 for after in turned])
    assert share == pytest.approx(0.25, abs=0.05)


def test_polarity_and_channels_change_no_sample_but_its_sign_and_place() -> None:
    crop = noise(3, 1009)
    np.testing.assert_array_equal(changed(augment.flip_polarity, crop, generator(), 1.0), -crop)
    np.testing.assert_array_equal(changed(augment.swap_channels, crop, generator(), 1.0), crop[:, ::-1])
    for after, before in zip(changed(augment.drop_channel, crop, generator(), 1.0), crop, strict=True):
        kept = [np.array_equal(after[channel], before[channel]) for channel in (0, 1)]
        assert sorted(kept) == [False, True] and not after[kept.index(False)].any()


def test_mono_is_the_same_on_both_sides_and_keeps_what_they_share() -> None:
    crop = noise(2, 1009)
    after = changed(augment.make_mono, crop, generator(), 1.0)
    np.testing.assert_array_equal(after[:, 0], after[:, 1])
    np.testing.assert_allclose(after[:, 0], (crop[:, 0] + crop[:, 1]) / 2, atol=1e-7)


def test_gains_lie_within_the_range_and_differ_from_stem_to_stem() -> None:
    crop = noise(50, 101)
    after = changed(augment.vary_gain, crop, generator(), 4.0)
    gains_db = [level_db(a, b) for a, b in zip(after, crop, strict=True)]
    assert -4 < min(gains_db) < -2 and 2 < max(gains_db) < 4


def test_left_out_is_one_stem_or_all_but_one() -> None:
    crop = noise(4, 101)
    counts = set()
    for seed in range(40):
        after = changed(augment.leave_out, crop, generator(seed), 1.0)
        sounds = after.any(axis=(1, 2))
        np.testing.assert_array_equal(after[sounds], crop[sounds])
        counts.add(int(sounds.sum()))
    assert counts == {1, 3}


def test_a_room_adds_a_tail_that_dies_away_and_leaves_the_direct_sound() -> None:
    click = np.zeros((1, 2, RATE), np.float32)
    click[:, :, 100] = 1.0
    for seed in range(10):
        heard = changed(augment.reverberate, click, generator(seed), 1.0, RATE)[0]
        np.testing.assert_allclose(heard[:, :101], click[0, :, :101], atol=1e-5)
        tail = heard[:, 101:]
        assert -20.5 < level_db(tail, click[0]) < -2.5
        assert level_db(tail[:, 30000:], tail[:, :5000]) < -10
        assert abs(np.corrcoef(tail)[0, 1]) < 0.5


def test_a_doubled_sound_is_followed_by_a_copy_on_each_side() -> None:
    burst = np.zeros((1, 2, RATE), np.float32)
    burst[:, :, 1000:1100] = 1.0
    first, last = round(1000 + 0.004 * RATE), round(1100 + 0.036 * RATE)
    gains_db = []
    for seed in range(20):
        left, right = changed(augment.double, burst, generator(seed), 1.0, RATE)[0]
        gains_db.append(level_db(left[1000:1100], right[1000:1100]))
        for heard in (left, right):
            assert np.ptp(heard[1000:1100]) == 0, "the sound itself stays as it was"
            assert not heard[:1000].any() and not heard[1100:first].any() and not heard[last + 1 :].any()
            assert -12.5 < level_db(heard[first:last], heard[1000:1100]) < 3.5
        assert not np.allclose(left[first:last] * right[1000], right[first:last] * left[1000])
    assert max(np.abs(gains_db)) < 9.01 and min(gains_db) < -4 and max(gains_db) > 4


def test_the_copies_pitch_wavers() -> None:
    """By up to 3 % of 1 kHz: 3 ms of sway, 1.5 times a second."""
    shares = []
    for seed in range(8):
        after = changed(augment.double, tone(1000, RATE)[None], generator(seed), 1.0, RATE)[0]
        energy = np.square(np.abs(np.fft.rfft(after * np.hanning(RATE)))).sum(axis=0)
        assert energy[968:1033].sum() > 0.999 * energy.sum()
        shares.append(energy[998:1003].sum() / energy.sum())
    assert min(shares) < 0.9


def test_no_sound_of_a_room_comes_from_the_end_round_to_the_start() -> None:
    crop = np.zeros((1, 2, 30000), np.float32)
    crop[:, :, 25000:] = noise(1, 5000)
    after = changed(augment.reverberate, crop, generator(), 1.0, RATE)
    assert np.abs(after[:, :, :24990]).max() < 1e-5


@pytest.mark.parametrize("speed", [0.87, 1.0, 1.13])
def test_speed_moves_pitch_and_keeps_the_length_asked_for(speed: float) -> None:
    samples = 44100 + 7
    longer = played_samples(samples, speed)
    piece = torch.from_numpy(np.stack([tone(440, longer), tone(880, longer)]))
    slower = torch.from_numpy(noise(2, played_samples(samples, 0.9)))
    played, _ = change_speed([piece, slower], [speed, 0.9], samples).numpy()
    assert played.shape == (2, 2, samples) and played.dtype == np.float32
    time_s = np.arange(samples) / RATE
    for stem, hz in zip(played, (440, 880), strict=True):
        played_hz = hz * (1.0 if speed == 1.0 else longer / fast_size(samples + 2 * SPARE))
        assert played_hz == pytest.approx(hz * speed, rel=1e-2)
        waves = np.stack([np.sin(2 * np.pi * played_hz * time_s), np.cos(2 * np.pi * played_hz * time_s)], axis=1)
        rest = stem[0] - waves @ np.linalg.lstsq(waves, stem[0], rcond=None)[0]
        assert level_db(rest, stem[0]) < -40, "a sine stays a sine, from its first sample to its last"


def test_what_lies_above_the_new_rates_limit_is_not_mirrored() -> None:
    piece = torch.from_numpy(tone(20_000, played_samples(30_000, 1.15)))[None]
    played = change_speed([piece], [1.15], 30_000)[0].numpy()
    assert level_db(played[0], tone(20_000, 30_000)) < -40


def test_at_its_own_speed_a_crop_stays_as_it_is_and_needs_no_more() -> None:
    crop = torch.from_numpy(np.stack([tone(440, 1007), tone(880, 1007)]))
    other = torch.from_numpy(noise(2, played_samples(1007, 1.1)))
    assert played_samples(1007, 1.0) == 1007
    assert torch.equal(change_speed([crop], [1.0], 1007)[0], crop)
    assert torch.equal(change_speed([other, crop], [1.1, 1.0], 1007)[1], crop)


def test_a_crop_of_a_batch_is_changed_as_if_it_were_alone() -> None:
    crops = noise(3, 9001)[None].repeat(4, axis=0)
    together = torch.from_numpy(crops.copy())
    settings = augment.Augment(
        **dict.fromkeys(augment.Augment.__struct_fields__, 0.5),
    )
    augment.record_and_mix(together, settings, [generator(seed) for seed in range(4)], RATE)
    for seed in range(4):
        alone = torch.from_numpy(crops[:1].copy())
        augment.record_and_mix(alone, settings, [generator(seed)], RATE)
        torch.testing.assert_close(together[seed], alone[0], atol=1e-5, rtol=1e-4)


def test_the_equaliser_changes_levels_within_its_range_and_shifts_nothing_in_time() -> None:
    random = generator(3)
    changes_db = []
    for hz in augment.EQUALIZER_KNOTS_HZ[1:-1]:
        before = tone(hz, 30011)
        after = changed(augment.equalize, before[None], random, 6.0, RATE)[0]
        middle = slice(5000, 25000)
        gain = np.vdot(before[:, middle], after[:, middle]) / np.vdot(before[:, middle], before[:, middle])
        assert np.abs(after - gain * before)[:, middle].max() < 0.02
        changes_db.append(20 * np.log10(gain))
    assert np.abs(changes_db).max() < 6.05 and np.std(changes_db) > 0.5


def test_a_silenced_span_is_silent_and_the_rest_untouched() -> None:
    random = generator(4)
    before = np.ones((2, 2, 44100), np.float32)
    silent = 0
    for _ in range(30):
        after = changed(augment.silence_span, before, random, 1.0, RATE)
        assert ((after == 0) | (after == 1)).mean() > 0.95 and np.abs(np.diff(after)).max() < 0.002
        assert (after == 1).all(axis=(1, 2)).any(), "one stem at most"
        silent += bool((after == 0).any())
    assert silent > 10


@pytest.mark.parametrize("file_format", codec.FORMATS)
def test_coding_loses_detail_and_no_time(file_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample n stays sample n, whatever delay the codec has; far below full scale and beyond it."""
    monkeypatch.setattr(codec, "FORMATS", (file_format,))
    time_s = np.arange(50021) / RATE
    melody = np.sin(2 * np.pi * (300 * time_s + 400 * time_s**2)).astype(np.float32)
    crop = np.stack([np.stack([melody, 0.5 * melody]), 0.01 * noise(1, 50021)[0]])
    for scale in (1e-3, 3.0):
        coded = code(crop * np.float32(scale), generator()) / scale
        assert level_db(coded[0] - crop[0], crop[0]) < -15
        assert level_db(coded[0, :, 5:] - crop[0, :, :-5], crop[0]) > -15
        assert not np.array_equal(coded, crop)
