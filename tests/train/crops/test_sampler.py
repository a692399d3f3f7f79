"""What a crop is made of, for each kind of source; and that it follows from seed, step and place alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from rtsep.errors import RtsepError
from rtsep.train.crops.magnitudes import PeakMeter, largest_magnitude
from rtsep.train.crops.sampler import CropSampler, Pool, generator, rms, shortest_song
from rtsep.train.data.sample_bank import SampleBank
from rtsep.train.data.songs import Song
from rtsep.train.data.store import INT16_PER_UNIT
from rtsep.train_settings import Augment, DataSource
from tests.train.crops.crop_figures import measure
from tests.train.sounds import FOUR, make_recipe, noise, tone

STEMS = DataSource(folder="a", layout="stems")
SAMPLES = 30_011
PLACES = ((300, 900), (350, 950))


def song(source: DataSource, stems: Sequence[np.ndarray], **settings: object) -> Song:
    audio = np.rint(np.stack(list(stems)) * INT16_PER_UNIT).astype(np.int16)
    return Song("song", audio, source, **settings)  # type: ignore[arg-type]


def silence() -> np.ndarray:
    return np.zeros((2, SAMPLES), np.float32)


def plain(sampler: CropSampler) -> CropSampler:
    """Without gains, so that what a crop is made of can be told."""
    sampler._augment = lambda crops, randoms: None  # type: ignore[method-assign]
    sampler._set_level = lambda crops, randoms: None  # type: ignore[method-assign]
    return sampler


@dataclass
class Crop:
    """One of the crops of a batch."""

    song: Song
    stems: np.ndarray
    known: np.ndarray
    top_bin: int


def crops(sampler: CropSampler, count: int = 24) -> list[Crop]:
    made = sampler.crops([generator(sampler.seed, step, 0) for step in range(count)])
    return [Crop(*each) for each in zip(made.songs, made.stems.numpy(), made.known, made.top_bin, strict=True)]


def level_at(sound: np.ndarray, hertz: float) -> float:
    """Amplitude of a sine in (2, N)."""
    time_s = np.arange(sound.shape[1]) / 44100
    return float(2 * np.abs(sound[0] @ np.exp(-2j * np.pi * hertz * time_s)) / sound.shape[1])


def test_a_crop_follows_from_seed_step_and_place() -> None:
    source = replace(STEMS, bandwidth_hz=900.0)
    songs = [song(STEMS, [noise(1), noise(2)]), song(source, [noise(3), noise(4)])]
    recipe = make_recipe(STEMS, source, speed_range=0.1, remix_share=0.5, equalizer_db=3.0, silence_share=0.3)
    sampler, again = CropSampler(recipe, songs, 9), CropSampler(recipe, songs, 9)
    forward = [sampler.batch(step) for step in range(6)]
    backward = [again.batch(step) for step in reversed(range(6))][::-1]
    for one, other in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(one.stems, other.stems)
    assert len({batch.stems.numpy().tobytes() for batch in forward}) == 6
    assert not np.array_equal(forward[0].stems[0], forward[0].stems[1])
    assert not np.array_equal(CropSampler(recipe, songs, 10).batch(0).stems, forward[0].stems)
    for batch in forward:
        assert batch.stems.shape == (2, 2, 2, 8192) and batch.stems.dtype == torch.float32
        assert batch.known.all()
        assert bool(((20 * rms(batch.stems.sum(dim=1)).log10() + 24).abs() < 12.1).all())


def test_narrow_material_limits_what_is_judged() -> None:
    narrow, wide = replace(STEMS, folder="n", bandwidth_hz=900.0), STEMS
    songs = [song(wide, [noise(1), noise(2)]), song(narrow, [noise(3), noise(4)])]
    tops = {crop.top_bin for crop in crops(CropSampler(make_recipe(wide, narrow, remix_share=0.0), songs, 1))}
    assert tops == {2049, int(900 / 44100 * 4096) + 1}


def test_random_numbers_of_a_step_and_of_its_places_differ() -> None:
    drawn = [generator(1, *key).random() for key in ((0,), (0, 0), (0, 1), (1,), (1, 0), (0, 0, 0))]
    assert len(set(drawn)) == len(drawn)
    assert generator(1, 3, 4).random() == generator(1, 3, 4).random()


def test_songs_are_drawn_by_their_sources_weights_and_their_lengths() -> None:
    often, seldom = replace(STEMS, weight=3.0), replace(STEMS, folder="b")
    short = song(often, [noise(1, 10_000)] * 2)
    songs = [short, song(often, [noise(1, 30_000)] * 2), song(seldom, [noise(1)] * 2), song(seldom, [noise(1)] * 2)]
    pool, random = Pool(songs), np.random.default_rng(1)
    drawn = [songs.index(pool.draw(random)) for _ in range(4000)]
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, [3 / 16, 9 / 16, 1 / 8, 1 / 8], atol=0.03)
    assert not Pool([]) and not Pool([song(replace(STEMS, weight=0.0), [noise(1)] * 2)])


def test_a_song_as_long_as_a_crop_will_do_at_every_speed() -> None:
    recipe = make_recipe(STEMS, speed_range=0.2)
    sampler = CropSampler(recipe, [song(STEMS, [noise(1, shortest_song(recipe))] * 2)], 3)
    assert {crop.stems.shape for crop in crops(sampler)} == {(2, 2, 8192)}


def test_remixes_keep_the_first_stem_and_change_the_others() -> None:
    songs = [song(STEMS, [tone(hz), tone(hz + 50)]) for hz in (300, 900)]
    sampler = plain(CropSampler(make_recipe(STEMS, remix_share=1.0), songs, 1))
    pairs = set()
    for crop in crops(sampler):
        first, second = (max((300, 350, 900, 950), key=lambda hz: level_at(stem, hz)) for stem in crop.stems)
        pairs.add((first, second))
    assert pairs == {(300, 350), (300, 950), (900, 350), (900, 950)}


def test_crops_are_as_good_with_every_augmentation_at_once() -> None:
    shares = {name: 0.5 for name in Augment.__struct_fields__ if name.endswith("_share")}
    recipe = make_recipe(STEMS, speed_range=0.1, equalizer_db=6.0, gain_db=6.0, **shares)
    songs = [song(STEMS, [noise(1), noise(2)]), song(STEMS, [noise(3), noise(4)])]
    drawn, again = (crops(CropSampler(recipe, songs, 9)) for _ in range(2))
    for crop, other in zip(drawn, again, strict=True):
        assert crop.stems.shape == (2, 2, 8192) and crop.stems.dtype == np.float32
        assert np.isfinite(crop.stems).all() and np.abs(crop.stems).max() < 8
        np.testing.assert_array_equal(crop.stems, other.stems)
    assert sum(bool((~crop.stems.any(axis=(1, 2))).any()) for crop in drawn) > 2
    assert sum(np.array_equal(crop.stems[:, 0], crop.stems[:, 1]) for crop in drawn) > 2


def test_a_second_voice_joins_the_first_and_the_rest_stays() -> None:
    songs = [song(STEMS, [tone(hz), tone(hz + 50)]) for hz in (300, 900)]
    sampler = plain(CropSampler(make_recipe(STEMS, remix_share=0.0, vocal_blend_share=1.0), songs, 1))
    duets = 0
    for crop in crops(sampler):
        own = 300 if crop.song is songs[0] else 900
        assert level_at(crop.stems[1], own + 50) == pytest.approx(0.2, abs=0.01)
        first, second = level_at(crop.stems[0], own), level_at(crop.stems[0], 1200 - own)
        assert first < 0.21 or second < 0.01
        duets += min(first, second) > 0.02
    assert duets > 4


def test_two_mixes_are_laid_over_each_other_stem_by_stem() -> None:
    partial = song(STEMS, [tone(300), tone(350)], known=(True, False))
    whole = song(STEMS, [tone(900), tone(950)])
    sampler = plain(CropSampler(make_recipe(STEMS, remix_share=0.0, mixup_share=1.0), [partial, whole], 1))
    both = 0
    for crop in crops(sampler):
        vocals, rest = ([level_at(stem, hz) for hz in hertz] for stem, hertz in zip(crop.stems, PLACES, strict=True))
        if min(vocals) > 0.02:
            both += 1
            assert rest == pytest.approx(vocals, abs=0.01)
            assert crop.known.tolist() == [True, False]
    assert both > 2


def test_the_rest_of_a_song_that_tells_vocals_only_stays_whole() -> None:
    """Its vocals are replaced by others'; it gives its own to others, its rest to nobody."""
    partial = song(STEMS, [tone(300), tone(500) + tone(700), silence(), silence()], known=(True, False, False, False))
    whole = song(STEMS, [tone(900), tone(1100), tone(1300), tone(1500)])
    sampler = plain(CropSampler(make_recipe(STEMS, stems=FOUR, remix_share=1.0), [partial, whole], 1))
    seen = set()
    for crop in crops(sampler):
        rest = (level_at(crop.stems[1:].sum(axis=0), 500), level_at(crop.stems[1:].sum(axis=0), 700))
        vocals = 300 if level_at(crop.stems[0], 300) > level_at(crop.stems[0], 900) else 900
        if crop.song is partial:
            assert crop.known.tolist() == [True, False, False, False]
            assert rest == pytest.approx((0.2, 0.2), abs=0.01) and not crop.stems[2:].any()
        else:
            assert crop.known.all() and max(rest) < 0.01
        seen.add((crop.song is partial, vocals))
    assert seen == {(True, 300), (True, 900), (False, 900)}
    batch = sampler.batch(0)
    assert batch.known.shape == (2, 4) and batch.known.dtype == torch.bool


def test_a_teachers_stems_stay_in_their_own_mixture() -> None:
    teacher = replace(STEMS, folder="t", labels="teacher")
    told, true = song(teacher, [tone(300), tone(500)]), song(STEMS, [tone(900), tone(1100)])
    sampler = plain(CropSampler(make_recipe(teacher, STEMS, remix_share=1.0), [told, true], 1))
    drawn = crops(sampler)
    assert {crop.song.source.labels for crop in drawn} == {"teacher", "true"}
    for crop in drawn:
        strange = (900, 1100) if crop.song is told else (300, 500)
        assert all(level_at(stem, hz) < 0.01 for stem in crop.stems for hz in strange)


def test_vocals_are_added_to_instrumentals_and_never_stand_alone() -> None:
    inst = DataSource(folder="i", layout="instrumental", add_vocals=0.7)
    voices = DataSource(folder="v", layout="vocals")
    songs = [
        song(inst, [silence(), tone(500)], kind="instrumental"),
        song(voices, [tone(300), silence()], kind="vocals"),
    ]
    sampler = plain(CropSampler(make_recipe(inst, voices, remix_share=1.0), songs, 1))
    drawn = crops(sampler, 200)
    assert all(level_at(crop.stems[1], 500) == pytest.approx(0.2, abs=0.01) for crop in drawn)
    added = [level_at(crop.stems[0], 300) > 0.05 for crop in drawn]
    assert np.mean(added) == pytest.approx(0.7, abs=0.1)
    assert not any(crop.stems[0].any() for crop, voice in zip(drawn, added, strict=True) if not voice)


def test_without_a_source_of_voices_the_songs_give_theirs() -> None:
    inst = DataSource(folder="i", layout="instrumental")
    alone = song(inst, [silence(), tone(500)], kind="instrumental")
    other = song(STEMS, [tone(300), tone(900)])
    sampler = plain(CropSampler(make_recipe(inst, STEMS, remix_share=0.0), [alone, other], 1))
    assert any(crop.song is alone and level_at(crop.stems[0], 300) > 0.05 for crop in crops(sampler))
    with pytest.raises(RtsepError, match="no vocals to add"):
        CropSampler(make_recipe(inst), [alone], 1)
    with pytest.raises(RtsepError, match="no songs to draw crops from"):
        CropSampler(make_recipe(STEMS), [song(STEMS, [tone(300), silence()], kind="vocals")], 1)


def test_vocals_over_vocals_leave_the_instrumental_as_it_is() -> None:
    pairs = replace(STEMS, add_vocals=1.0)
    voices = DataSource(folder="v", layout="vocals", weight=0.5)
    songs = [song(pairs, [tone(700), tone(500)]), song(voices, [tone(300), silence()], kind="vocals")]
    added = []
    for crop in crops(plain(CropSampler(make_recipe(pairs, voices, remix_share=0.0), songs, 1))):
        assert level_at(crop.stems[0], 700) == pytest.approx(0.2, abs=0.01)
        assert level_at(crop.stems[1], 500) == pytest.approx(0.2, abs=0.01)
        added.append(level_at(crop.stems[0], 300))
    assert max(added) > 0.1 and np.std(added) > 0.03


def test_the_divisor_is_the_largest_of_the_two_songs_and_the_crop() -> None:
    """Neither song's largest magnitude lies in these crops, and one of them is larger than the crop's."""
    inst = DataSource(folder="i", layout="instrumental", level="peak", add_vocals=1.0)
    voices = DataSource(folder="v", layout="vocals")
    for peaks, divisor in (((0.5, 0.3), 0.5), ((0.3, 0.6), 0.6), ((0.001, 0.002), None)):
        songs = [
            song(inst, [silence(), tone(500)], kind="instrumental", peak=peaks[0]),
            song(voices, [tone(300), silence()], kind="vocals", peak=peaks[1]),
        ]
        sampler = CropSampler(make_recipe(inst, voices), songs, 1)
        sampler._augment = lambda crops, randoms: None  # type: ignore[method-assign]
        for crop in crops(sampler, 4):
            largest = float(largest_magnitude(torch.from_numpy(crop.stems.sum(axis=0)), 4096, 1024)) * 2048
            if divisor is None:
                assert largest == pytest.approx(1.0, abs=1e-4)
            else:  # vocals as loud as they came: each sine had 0.2
                assert level_at(crop.stems[1], 500) == pytest.approx(0.2 / divisor / 2048, rel=0.05)
                assert level_at(crop.stems[0], 300) == pytest.approx(0.2 / divisor / 2048, rel=0.05)
                assert largest < 1.0


def test_a_song_that_hardly_ever_sounds_ends_no_run() -> None:
    quiet = silence()
    quiet[:, 0] = 0.5  # one click: the song as a whole is not silent
    sampler = CropSampler(make_recipe(STEMS), [song(STEMS, [quiet, silence()])], 1)
    assert sampler.batch(0).stems.shape == (2, 2, 2, 8192)


def test_crops_have_the_levels_and_spectra_of_those_that_were_made_one_by_one() -> None:
    """Means and deviations of 1000 crops within chance; soxr took 0.4 dB off the top octave."""
    recorded = json.loads(Path(__file__).with_name("crop_statistics.json").read_text())
    found = measure(1000)
    assert found.keys() == recorded.keys()
    for name, before in recorded.items():
        now = found[name]
        chance = before["deviation"] * (1 / before["count"] + 1 / now["count"]) ** 0.5
        assert abs(now["mean"] - before["mean"]) < 4 * chance + (0.5 if "octave 0" in name else 0.0), name
        if before["deviation"] > 1:  # in dB or bins, not a share
            assert 0.75 < now["deviation"] / before["deviation"] < 1.33, name


def test_songs_on_the_device_give_the_crops_that_files_give() -> None:
    songs = [song(STEMS, [noise(1), noise(2)]), song(STEMS, [noise(3), noise(4)])]
    recipe = make_recipe(STEMS, speed_range=0.1)
    sampler, resident, partly = (CropSampler(recipe, songs, 9) for _ in range(3))
    size = songs[0].audio.nbytes  # type: ignore[union-attr]
    resident.bank = SampleBank(songs, torch.device("cpu"), most_bytes=2 * size)
    partly.bank = SampleBank(songs, torch.device("cpu"), most_bytes=2 * size - 1)
    assert [made.bank.resident_songs for made in (sampler, resident, partly)] == [0, 2, 1]
    for step in range(3):
        expected = sampler.batch(step).stems
        assert torch.equal(resident.batch(step).stems, expected)
        assert torch.equal(partly.batch(step).stems, expected)


@pytest.mark.parametrize("block", [700, 2048, 50_000])
def test_the_largest_magnitude_is_the_same_in_blocks(block: int) -> None:
    sound = torch.from_numpy(noise(1, 20_000))
    sound[:, 11_000:11_800] *= 9
    meter = PeakMeter()
    for at in range(0, 20_000, block):
        meter.push(sound[:, at : at + block])
    assert meter.peak == pytest.approx(float(largest_magnitude(sound, 2048, 1024)))
    assert float(largest_magnitude(torch.from_numpy(tone(44100 / 2048 * 20)), 2048, 1024)) == pytest.approx(
        0.1, rel=1e-3
    )
    assert float(largest_magnitude(torch.from_numpy(tone(44100 / 2048 * 20)), 4096, 1024)) == pytest.approx(
        0.1, rel=1e-3
    )
    assert float(largest_magnitude(torch.from_numpy(noise(1, 2047)), 2048, 1024)) == 0.0
