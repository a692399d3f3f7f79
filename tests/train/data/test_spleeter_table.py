"""Spleeter's CSV and JSON: what is followed, and what is named as not followed."""

import json
from pathlib import Path

import pytest

from rtsep.errors import RtsepError
from rtsep.recipe import load_recipe
from rtsep.train.data.songs import load_songs
from rtsep.train_settings import DataSource
from tests.train.sounds import FOUR, load, make_recipe, noise, write_song

HEAD = "mix_path,vocals_path,drums_path,bass_path,other_path,duration"


def row(song: str, *files: str) -> str:
    return ",".join([*(f"{song}/{part}.wav" for part in ("mixture", *(files or FOUR))), "0.68"])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two songs below `musdb/train`, one below `musdb/test`."""
    folder = tmp_path / "data"
    for number, song in enumerate(("train/A - B", "train/C - D", "test/E - F")):
        sounds = {part: noise(10 * number + index) for index, part in enumerate(FOUR)}
        write_song(folder / "musdb" / song, mixture=sum(sounds.values()), **sounds)
    (folder / "configs").mkdir()
    (folder / "configs" / "train.csv").write_text("\n".join([HEAD, row("train/A - B"), row("train/C - D")]) + "\n")
    (folder / "configs" / "validation.csv").write_text("\n".join([HEAD, row("test/E - F"), row("train/C - D")]) + "\n")
    return folder


def source(table: str, **settings: object) -> DataSource:
    return DataSource(folder="musdb", layout="spleeter", table=table, **settings)  # type: ignore[arg-type]


def test_a_csv_names_songs_relative_to_the_folder(data: Path) -> None:
    songs, report = load(make_recipe(source("configs/train.csv"), stems=FOUR), data)
    assert list(songs) == ["A - B", "C - D"] and all(song.known is None for song in songs.values())
    assert report.sources[0].notes == []
    held_out, _ = load(make_recipe(source("configs/train.csv", holdout=("C - D",))), data, held_out=True)
    assert list(held_out) == ["C - D"]


def test_the_json_tells_both_lists_caches_and_what_is_not_followed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {
        "train_csv": "configs/train.csv",
        "validation_csv": "configs/validation.csv",
        "training_cache": "cache/training",
        "mix_name": "mix",
        "instrument_list": ["vocals", "drums"],
        "train_max_steps": 200000,
        "throttle_secs": 1800,
    }
    (data / "configs" / "musdb.json").write_text(json.dumps(settings))
    recipe = make_recipe(source("configs/musdb.json"), stems=FOUR)
    songs, report = load(recipe, data)
    assert list(songs) == ["A - B"]  # the other is in both lists, and what is kept for evaluation is not trained on
    assert songs["A - B"].known == (True, True, False, False)
    assert len(list((tmp_path / "cache" / "training").glob("*.pcm"))) == 1
    assert report.sources[0].notes == [
        "musdb.json: ignored, the recipe decides: train_max_steps ([train] steps), throttle_secs (no equivalent)"
    ]
    assert list(load(recipe, data, held_out=True)[0]) == ["E - F", "C - D"]


def test_rows_whose_files_are_missing_are_skipped(data: Path) -> None:
    (data / "musdb" / "train" / "C - D" / "bass.wav").unlink()
    (data / "configs" / "train.csv").open("a").write(",,,,,\n" + row("train/no such") + "\n")
    _, report = load(make_recipe(source("configs/train.csv"), stems=FOUR), data)
    reasons = {song.name: song.reason for song in report.sources[0].skipped}
    assert reasons["C - D"] == "missing: bass_path train/C - D/bass.wav"
    assert reasons["line 4"] == "no mix_path"
    assert reasons["no such"].startswith("missing: mix_path train/no such/mixture.wav, vocals_path")


WINDOWS = {
    "backslashes": lambda text: text.replace("/", "\\").encode(),
    "blanks": lambda text: text.replace(",", " , ").encode(),
    "byte order mark": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "utf-16": lambda text: text.encode("utf-16"),
    "semicolons": lambda text: text.replace(",", ";").encode(),
}


@pytest.mark.parametrize("kind", WINDOWS)
def test_tables_written_on_windows_are_read(data: Path, kind: str) -> None:
    separator = "\\" if kind == "backslashes" else "/"
    lists = [f"configs{separator}{name}.csv" for name in ("train", "validation")]
    settings = json.dumps(dict(zip(("train_csv", "validation_csv"), lists, strict=True)))
    (data / "musdb.json").write_bytes(settings.encode("utf-16" if kind == "utf-16" else "utf-8-sig"))
    for name in ("train.csv", "validation.csv"):
        path = data / "configs" / name
        path.write_bytes(WINDOWS[kind](path.read_text()))
    songs, report = load(make_recipe(source(lists[0]), stems=FOUR), data)
    assert list(songs) == ["A - B", "C - D"] and report.sources[0].skipped == []
    held_out, _ = load(make_recipe(source("musdb.json"), stems=FOUR), data, held_out=True)
    assert "E - F" in held_out


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", b"vocals_path,duration\n", "a.csv has no column mix_path; it has vocals_path, duration"),
        ("a.csv", b"", "has no column mix_path; it has none"),
        ("a.csv", b"\xff", "a.csv is not UTF-8 text"),
        ("a.json", b"{", "a.json: "),
        ("a.json", b"{}", "train_csv"),
        ("a.json", b'{"train_csv": "b.csv"}', "names b.csv, which does not exist"),
        ("a.json", b'{"train_csv": "configs/train.csv", "mix_name": "x"}', "has no column x_path"),
        ("a.json", b'{"train_csv": "configs/train.csv", "instrument_list": ["piano"]}', "has no column piano_path"),
    ],
)
def test_a_table_that_is_wrong_is_one_line(data: Path, name: str, content: bytes, complaint: str) -> None:
    (data / name).write_bytes(content)
    with pytest.raises(RtsepError, match=complaint) as caught:
        load(make_recipe(source(name)), data)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there_is_one_line(data: Path) -> None:
    with pytest.raises(RtsepError, match=r"table none\.csv is not in"):
        load_songs(make_recipe(source("none.csv")), [data], data, held_out=False)


@pytest.mark.parametrize("line", ['layout = "spleeter"', 'layout = "stems"\ntable = "a.csv"'])
def test_the_table_and_the_layout_belong_together(tmp_path: Path, line: str) -> None:
    text = 'name = "x"\nnetwork = "a:b"\nstems = ["vocals", "instrumental"]\n[[train.data]]\nfolder = "."\n'
    (tmp_path / "recipe.toml").write_text(text + line + "\n")
    with pytest.raises(RtsepError, match="table is for layout 'spleeter'"):
        load_recipe(tmp_path / "recipe.toml")
