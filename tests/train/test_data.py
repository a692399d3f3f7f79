"""Training material: what is found, how it is decoded, and what a crop is."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from rtsep.errors import RtsepError
from rtsep.recipe import load_recipe
from rtsep.train.crops import CropSampler, rms
from rtsep.train.data import find_songs, group_stems, load_songs
from rtsep.train_settings import DataSource
from tests.train.material import write_material


@pytest.fixture(scope="module")
def recipe_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_material(tmp_path_factory.mktemp("material"))


def test_held_out_songs_are_never_trained_on(recipe_path: Path, tmp_path: Path) -> None:
    recipe, data = load_recipe(recipe_path), recipe_path.parent.parent
    assert [song.name for song in load_songs(recipe, data, tmp_path, held_out=False)] == ["one", "a_1"]
    assert [song.name for song in load_songs(recipe, data, tmp_path, held_out=True)] == ["held"]


def test_to_evaluate_only_what_holds_songs_out_must_be_there(recipe_path: Path, tmp_path: Path) -> None:
    recipe, data = load_recipe(recipe_path), recipe_path.parent.parent
    elsewhere = (*recipe.train.data, DataSource(folder="not here", layout="stems"))
    recipe = replace(recipe, train=replace(recipe.train, data=elsewhere))
    assert [song.name for song in load_songs(recipe, data, tmp_path, held_out=True)] == ["held"]
    with pytest.raises(RtsepError, match="not here"):
        load_songs(recipe, data, tmp_path, held_out=False)


def test_a_song_is_decoded_once_and_again_when_its_files_change(recipe_path: Path, tmp_path: Path) -> None:
    recipe, data = load_recipe(recipe_path), recipe_path.parent.parent
    load_songs(recipe, data, tmp_path, held_out=True)
    (first,) = tmp_path.iterdir()
    written = first.stat().st_mtime_ns
    load_songs(recipe, data, tmp_path, held_out=True)
    assert first.stat().st_mtime_ns == written
    drums = data / "songs" / "held" / "drums.wav"
    drums.write_bytes(drums.read_bytes())
    load_songs(recipe, data, tmp_path, held_out=True)
    assert len(list(tmp_path.iterdir())) == 2


def test_decoded_stems_are_the_files_at_the_recipes_rate(recipe_path: Path, tmp_path: Path) -> None:
    import soundfile

    recipe, data = load_recipe(recipe_path), recipe_path.parent.parent
    one, pair = load_songs(recipe, data, tmp_path, held_out=False)
    drums = soundfile.read(data / "songs" / "one" / "drums.wav", dtype="float32")[0].T
    bass = soundfile.read(data / "songs" / "one" / "bass.wav", dtype="float32")[0].T
    drums[:, : bass.shape[1]] += bass  # the shorter file ends in silence
    np.testing.assert_allclose(one.segment(0, one.samples)[1], drums, atol=1.01 / 32767)
    assert pair.samples == round(3.2 * 44100)


def test_missing_stems_and_empty_folders_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RtsepError, match="no songs with layout 'stems'"):
        find_songs(tmp_path, DataSource(folder="nothing", layout="stems"))
    with pytest.raises(RtsepError, match="cannot give the stem 'bass'"):
        group_stems({"vocals": np.zeros((2, 3), np.float32), "drums": np.zeros((2, 3), np.float32)}, ("vocals", "bass"))


def test_crops_are_long_enough_sound_and_repeat_with_the_seed(recipe_path: Path, tmp_path: Path) -> None:
    recipe, data = load_recipe(recipe_path), recipe_path.parent.parent
    songs = load_songs(recipe, data, tmp_path, held_out=False)
    sampler, again = CropSampler(recipe, songs, 9), CropSampler(recipe, songs, 9)
    tops = set()
    for _ in range(12):
        batch = sampler.draw()
        assert batch.stems.shape == (2, 2, 2, 4096 + 19 * 1024)
        assert np.array_equal(batch.stems, again.draw().stems)
        levels = [20 * np.log10(rms(stems.sum(axis=0))) for stems in batch.stems]
        assert all(-36.1 < level < -11.9 for level in levels)
        tops |= set(batch.top_bin.tolist())
    assert tops == {2049, int(900 / 44100 * 4096) + 1}  # narrow material limits what is judged, wide does not


def test_songs_shorter_than_a_crop_are_a_clear_error(recipe_path: Path, tmp_path: Path) -> None:
    recipe, data = load_recipe(recipe_path), recipe_path.parent.parent
    longer = replace(recipe, train=replace(recipe.train, frames=500))
    with pytest.raises(RtsepError, match="as long as a crop"):
        CropSampler(longer, load_songs(recipe, data, tmp_path, held_out=False), 1)


SPLEETERS_LIST = """mix_path,vocals_path,accompaniment_path,duration
duets/a_1.accompaniment.flac,duets/a_1.vocals.flac,duets/a_1.accompaniment.flac,3.2
songs/one/drums.wav,songs/one/vocals.wav,songs/one/bass.wav,4.03
"""


def test_songs_may_be_listed_as_spleeter_does(recipe_path: Path, tmp_path: Path) -> None:
    recipe, data = load_recipe(recipe_path), recipe_path.parent.parent
    (data / "train.csv").write_text("\ufeff" + SPLEETERS_LIST, encoding="utf-8")
    source = DataSource(folder="train.csv", layout="spleeter", holdout=("songs",))
    recipe = replace(recipe, train=replace(recipe.train, data=(source,)))
    (listed,) = load_songs(recipe, data, tmp_path, held_out=False)
    pair = load_songs(load_recipe(recipe_path), data, tmp_path, held_out=False)[1]
    assert listed.name == "duets_a_1.accompaniment"
    np.testing.assert_array_equal(listed.audio, pair.audio)
    (held,) = load_songs(recipe, data, tmp_path, held_out=True)
    assert held.name == "songs_one_drums"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("song,stems\na,b\n", "none of Spleeter's lists"),
        ("mix_path,duration\na,1\n", "none of Spleeter's lists"),
        ("mix_path,vocals_path\na\n", "line 2: a path is missing"),
        ("mix_path,vocals_path\na.wav,b.wav\n", "line 2: .*b.wav is not there"),
        ("mix_path,vocals_path\n", "no songs with layout 'spleeter'"),
        ('mix_path,vocals_path\n"a,b\n', "is no CSV"),
        (None, "cannot read"),
    ],
)
def test_a_list_that_is_not_understood_is_one_line(tmp_path: Path, text: str | None, complaint: str) -> None:
    if text is not None:
        (tmp_path / "train.csv").write_text(text)
    with pytest.raises(RtsepError, match=complaint) as caught:
        find_songs(tmp_path, DataSource(folder="train.csv", layout="spleeter"))
    assert "\n" not in str(caught.value)
