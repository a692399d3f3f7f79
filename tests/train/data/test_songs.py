"""Training material: what is found, what is skipped and why, how it is decoded."""

import os
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from msgspec.structs import replace

from rtsep.errors import RtsepError, UsageError
from rtsep.recipe import load_recipe
from rtsep.train.data.songs import load_songs
from rtsep.train_settings import DataSource
from tests.train.material import write_material
from tests.train.sounds import (
    FOUR,
    load,
    make_recipe,
    noise,
    spectrum,
    stems_of,
    tone,
    write,
    write_song,
    write_stem_mp4,
)  # fmt: skip

STEMS = DataSource(folder="songs", layout="stems")


@pytest.fixture(scope="module")
def recipe_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_material(tmp_path_factory.mktemp("material"))


def test_held_out_songs_are_never_trained_on(recipe_path: Path, tmp_path: Path) -> None:
    recipe, roots = load_recipe(recipe_path), [recipe_path.parent.parent]
    songs, report = load_songs(recipe, roots, tmp_path, held_out=False)
    assert [song.name for song in songs] == ["one", "a_1"]
    assert [(of.songs, of.set_aside) for of in report.sources] == [(1, 1), (1, 0)]
    songs, report = load_songs(recipe, roots, tmp_path, held_out=True)
    assert [song.name for song in songs] == ["held"]
    assert [(of.source.folder, of.songs, of.set_aside) for of in report.sources] == [("songs", 1, 1)]


def test_to_evaluate_only_what_holds_songs_out_must_be_there(recipe_path: Path, tmp_path: Path) -> None:
    recipe, roots = load_recipe(recipe_path), [recipe_path.parent.parent]
    elsewhere = (*recipe.train.data, DataSource(folder="not here", layout="stems"))
    recipe = replace(recipe, train=replace(recipe.train, data=elsewhere))
    assert [song.name for song in load_songs(recipe, roots, tmp_path, held_out=True)[0]] == ["held"]
    with pytest.raises(RtsepError, match="not here is not in .*check --data"):
        load_songs(recipe, roots, tmp_path, held_out=False)


def test_a_source_may_hold_all_its_songs_out(tmp_path: Path) -> None:
    write_song(tmp_path / "data" / "songs" / "held", vocals=noise(1), drums=noise(2))
    songs, report = load(make_recipe(replace(STEMS, holdout=("held",))), tmp_path / "data")
    assert not songs and report.sources[0].set_aside == 1


def test_decoded_stems_are_the_files_at_the_recipes_rate(recipe_path: Path, tmp_path: Path) -> None:
    recipe, data = load_recipe(recipe_path), recipe_path.parent.parent
    one, pair = load_songs(recipe, [data], tmp_path, held_out=False)[0]
    drums = soundfile.read(data / "songs" / "one" / "drums.wav", dtype="float32")[0].T
    bass = soundfile.read(data / "songs" / "one" / "bass.wav", dtype="float32")[0].T
    drums[:, : bass.shape[1]] += bass  # the shorter file ends in silence
    np.testing.assert_allclose(stems_of(one)[1], drums, atol=1.01 / 32767)
    assert pair.samples == round(3.2 * 44100)


def test_every_song_that_is_skipped_has_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "songs"
    good = {"vocals": noise(1), "drums": noise(2)}
    write_song(folder / "good", **good)
    write_song(folder / "short", vocals=noise(1, 5000), drums=noise(2, 4000))
    write_song(folder / "silent", **{part: np.zeros_like(sound) for part, sound in good.items()})
    write_song(folder / "no vocals", drums=noise(1))
    write_song(folder / "nothing beside", vocals=noise(1))
    for name, keep in (("cut", 90_000), ("garbage", 0), ("empty", 0)):
        write_song(folder / name, **good)
        path = folder / name / "drums.wav"
        path.write_bytes(b"no sound in here at all" if name == "garbage" else path.read_bytes()[:keep])
    write_song(folder / "not a number", vocals=noise(1), drums=np.where(np.arange(30_011) == 20_000, np.nan, noise(2)))
    (folder / "no files").mkdir()
    songs, report = load(make_recipe(STEMS), tmp_path / "data", shortest=8192)
    assert list(songs) == ["good"]
    reasons = {song.name: song.reason for song in report.sources[0].skipped}
    expected = {
        "short": "too short: 0.1 s, a crop needs 0.2 s",
        "silent": "silent",
        "no vocals": "no vocals",
        "nothing beside": "vocals without an accompaniment",
        "cut": "drums.wav: its header states",
        "garbage": "drums.wav",
        "empty": "drums.wav is empty",
        "not a number": "is not a number",
        "no files": "no audio files",
    }
    assert set(reasons) == set(expected)
    for name, reason in expected.items():
        assert reason in reasons[name] and "\n" not in reasons[name], name


def test_the_report_is_a_table_with_a_line_for_everything_skipped(tmp_path: Path) -> None:
    write_song(tmp_path / "data" / "songs" / "a", vocals=noise(1, 3 * 44100), drums=noise(2))
    write_song(tmp_path / "data" / "songs" / "b", drums=noise(2))
    write_song(tmp_path / "data" / "told" / "c", vocals=noise(1), mixture=noise(2))
    teacher = DataSource(folder="told", layout="stems", labels="teacher")
    _, report = load(make_recipe(STEMS, teacher, stems=FOUR), tmp_path / "data")
    assert report.lines() == [
        "source  layout          songs  hours  partly labelled  set aside  skipped",
        "songs   stems               1   0.00                0          0        1",
        "told    stems, teacher      1   0.00                1          0        0",
        "songs: a: drums is 2.3 s shorter than the others: padded with silence",
        "songs: skipped b: no vocals",
    ]
    assert report.sources[0].seconds == pytest.approx(3.0)


def test_files_that_end_early_are_reported_each_time(tmp_path: Path) -> None:
    """Stems are padded with silence; without its mixture, a difference would be the negative of what it lacks."""
    long, short = 3 * 44100, 44100
    write_song(tmp_path / "data" / "songs" / "stem", vocals=noise(1, short), drums=noise(2, long))
    write_song(tmp_path / "data" / "songs" / "mixture", vocals=noise(3, long), mixture=noise(4, short))
    write_song(tmp_path / "data" / "songs" / "whole", vocals=noise(5, long), drums=noise(6, long - 4000))
    for _ in range(2):
        songs, report = load(make_recipe(STEMS, stems=("vocals", "instrumental")), tmp_path / "data")
        assert {name: song.samples for name, song in songs.items()} == {"stem": long, "mixture": short, "whole": long}
        assert not songs["stem"].segment(short, long - short)[0].any()
        assert sorted(report.sources[0].notes) == [
            "mixture: mixture ends at 1.0 s, before the others: the song ends there",
            "stem: vocals is 2.0 s shorter than the others: padded with silence",
        ]


def test_odd_material_is_reported_each_time(tmp_path: Path) -> None:
    """Silence where a stem is damaged and clipped samples are wrong labels, which somebody may want to mend."""
    place = tmp_path / "data" / "songs"
    write_song(place / "damaged", drums=noise(1))
    soundfile.write(place / "damaged" / "vocals.flac", noise(2).T, 44100)
    content = bytearray((place / "damaged" / "vocals.flac").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    (place / "damaged" / "vocals.flac").write_bytes(content)
    loud = noise(3)
    loud[0, 100] = 1e9
    write_song(place / "loud", drums=loud, vocals=noise(4))
    for _ in range(2):
        songs, report = load(make_recipe(STEMS, stems=("vocals", "instrumental")), tmp_path / "data")
        assert set(songs) == {"damaged", "loud"}
        damaged, clipped = sorted(report.sources[0].notes)
        assert "vocals.flac: damaged at " in damaged
        assert clipped == "loud: 1 samples are above 2 (full scale is 1): clipped there"


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode there")
def test_a_folder_whose_name_is_no_text_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "songs" / os.fsdecode(b"b\xffd")
    folder.mkdir(parents=True)
    for part in ("vocals", "drums"):
        write(tmp_path / "x.wav", noise(1)).rename(folder / f"{part}.wav")
    for _ in range(2):
        songs, _ = load(make_recipe(STEMS, stems=("vocals", "instrumental")), tmp_path / "data")
        assert set(songs) == {folder.name}


@pytest.mark.parametrize("layout", ["stems", "stem.mp4", "pairs", "instrumental", "vocals", "npz"])
def test_a_folder_without_songs_is_one_clear_line(tmp_path: Path, layout: str) -> None:
    (tmp_path / "data" / "songs").mkdir(parents=True)
    source = DataSource(folder="songs", layout=layout)  # type: ignore[arg-type]
    with pytest.raises(RtsepError, match=f"^{tmp_path / 'data' / 'songs'} has no songs: layout '{layout}' expects "):
        load(make_recipe(source), tmp_path / "data")


def test_a_source_whose_songs_are_all_skipped_names_the_first(tmp_path: Path) -> None:
    for name in "ab":
        write_song(tmp_path / "data" / "songs" / name, drums=noise(1))
    with pytest.raises(RtsepError, match=r"songs \(layout .*\) has no usable song, 2 skipped; a: no vocals"):
        load(make_recipe(STEMS), tmp_path / "data")


def test_a_root_that_is_no_folder_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data .*nowhere: not a folder"):
        load_songs(make_recipe(STEMS), [tmp_path, tmp_path / "nowhere"], tmp_path, held_out=False)


def test_sources_are_looked_for_in_every_root(tmp_path: Path) -> None:
    write_song(tmp_path / "1" / "songs" / "a", vocals=noise(1), drums=noise(2))
    write_song(tmp_path / "2" / "songs" / "b", vocals=noise(3), drums=noise(4))
    write_song(tmp_path / "2" / "songs" / "a", vocals=noise(5), drums=noise(6))
    write_song(tmp_path / "2" / "more" / "c", vocals=noise(7), drums=noise(8))
    recipe = make_recipe(STEMS, DataSource(folder="more", layout="stems"))
    roots = [tmp_path / "1", tmp_path / "2", tmp_path / "2" / ".." / "1"]
    songs, report = load_songs(recipe, roots, tmp_path / "cache", held_out=False)
    assert [song.name for song in songs] == ["a", "b", "c"]
    assert [(song.name, song.reason) for song in report.sources[0].skipped] == [("a", "another song has the same name")]
    np.testing.assert_allclose(stems_of(songs[0])[0], noise(1), atol=1.01 / 32767)


def test_progress_is_told_song_by_song(tmp_path: Path) -> None:
    for name in "abc":
        write_song(tmp_path / "data" / "songs" / name, vocals=noise(1), drums=noise(2))
    told: list[tuple[int, int]] = []
    load(make_recipe(STEMS), tmp_path / "data", progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_what_four_stems_can_learn_from_vocals_and_mixture(tmp_path: Path) -> None:
    vocals, rest = noise(1), noise(2)
    write_song(tmp_path / "data" / "songs" / "a", vocals=vocals, mixture=vocals + rest)
    songs, _ = load(make_recipe(STEMS, stems=FOUR), tmp_path / "data")
    assert songs["a"].known == (True, False, False, False)
    np.testing.assert_allclose(stems_of(songs["a"])[0], vocals, atol=1.01 / 32767)
    np.testing.assert_allclose(stems_of(songs["a"])[1:].sum(axis=0), rest, atol=1.01 / 32767)


def test_stem_files_pairs_and_crops_become_the_same_songs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    vocals, rest = tone(440, 40 * 1024), tone(1500, 40 * 1024)
    silence = np.zeros_like(vocals)
    write_stem_mp4(data / "mp4" / "a.stem.mp4", [vocals + rest, rest, silence, silence, vocals])
    write(data / "pairs" / "mixture" / "b.wav", vocals + rest)
    write(data / "pairs" / "instrumental" / "b.wav", rest)
    (data / "npz").mkdir()
    np.savez(data / "npz" / "c.npz", X=spectrum(vocals + rest), Y=spectrum(rest), c=150.0)
    sources = [DataSource(folder=name, layout=layout) for name, layout in
               (("mp4", "stem.mp4"), ("pairs", "pairs"), ("npz", "npz"))]  # fmt: skip
    songs, _ = load(make_recipe(*sources), data)
    for name, tolerance in (("a", 0.02), ("b", 1.01 / 32767), ("c", 1.01 / 32767)):
        assert songs[name].kind == "song" and songs[name].known is None
        found = stems_of(songs[name])[:, :, 5000:35_000]
        np.testing.assert_allclose(found, np.stack([vocals, rest])[:, :, 5000:35_000], atol=tolerance, err_msg=name)
    assert songs["c"].peak == pytest.approx(150 / 1024)
    assert songs["b"].peak == pytest.approx(0.1, rel=0.15)


def test_instrumentals_and_vocals_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data / "inst" / "album" / "a.wav", noise(1))
    write(data / "voices" / "b.wav", noise(2))
    sources = (DataSource(folder="inst", layout="instrumental"), DataSource(folder="voices", layout="vocals"))
    songs, _ = load(make_recipe(*sources), data)
    assert {name: song.kind for name, song in songs.items()} == {"album/a": "instrumental", "b": "vocals"}
    assert not stems_of(songs["album/a"])[0].any() and not stems_of(songs["b"])[1].any()
    held_out = tuple(replace(source, holdout=("album/a", "b")) for source in sources)
    with pytest.raises(RtsepError, match="instrumental alone: nothing to separate"):
        load(make_recipe(*held_out), data, held_out=True)


def test_a_segment_takes_the_memory_of_a_segment_however_long_the_song_is(tmp_path: Path) -> None:
    vocals, drums = (np.tile(noise(seed, 44100), 90) for seed in (1, 2))
    write_song(tmp_path / "data" / "songs" / "a", vocals=vocals, drums=drums)
    songs, _ = load(make_recipe(STEMS), tmp_path / "data")
    tracemalloc.start()
    try:
        assert songs["a"].segment(80 * 44100, 44100).shape == (2, 2, 44100)
        assert tracemalloc.get_traced_memory()[1] < 3 * 2 * 2 * 44100 * 4
    finally:
        tracemalloc.stop()
