"""What is found in folders of every layout. Nothing is decoded, so most of these files are empty."""

from pathlib import Path

import numpy as np
import pytest

from rtsep.train.data.data_report import SkippedSong
from rtsep.train.data.layouts import SongFiles, find
from rtsep.train_settings import DataSource, Layout


def tree(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(folder: Path, layout: Layout) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Parts of the songs, as paths relative to the folder, and the reasons of what was skipped."""
    everything = list(find(folder, DataSource(folder=".", layout=layout)))
    songs = {
        song.name: {part: where.path.relative_to(folder).as_posix() for part, where in song.files.items()}
        for song in everything
        if isinstance(song, SongFiles)
    }
    return songs, {song.name: song.reason for song in everything if isinstance(song, SkippedSong)}


def test_musdb18_hq_is_the_layout_stems(tmp_path: Path) -> None:
    files = ["mixture", "vocals", "drums", "bass", "other"]
    tree(tmp_path, *(f"A - B/{part}.wav" for part in files), "A - B/._vocals.wav", "A - B/cover.jpg", "empty/notes.txt")
    songs, skipped = found(tmp_path, "stems")
    assert songs == {"A - B": {part: f"A - B/{part}.wav" for part in sorted(files)}}
    assert skipped == {"empty": "no audio files"}


def test_parts_are_found_whatever_their_case_and_format(tmp_path: Path) -> None:
    tree(tmp_path, "a/Vocals.FLAC", "a/No_Vocals.mp3", "a/vocals.wav")
    assert found(tmp_path, "stems")[0] == {"a": {"vocals": "a/Vocals.FLAC", "instrumental": "a/No_Vocals.mp3"}}


def test_musdb18_streams_are_in_its_order(tmp_path: Path) -> None:
    tree(tmp_path, "train/A - B.stem.mp4", "train/video.mp4")
    (song,) = find(tmp_path, DataSource(folder=".", layout="stem.mp4"))
    assert isinstance(song, SongFiles) and song.name == "A - B"
    assert {part: where.stream for part, where in song.files.items()} == {
        "mixture": 0, "drums": 1, "bass": 2, "other": 3, "vocals": 4,
    }  # fmt: skip


def test_pairs_by_name_and_by_folder(tmp_path: Path) -> None:
    tree(tmp_path, "a_1.vocals.opus", "a_1.accompaniment.opus", "b_mix.wav", "b_no_vocals.wav", "c.vocals.wav", "d.wav")
    tree(
        tmp_path, "mixtures/e_mix.wav", "Instruments/e_inst.wav", "mixtures/f.wav", "Instruments/f.flac", "scans/g.wav"
    )
    songs, skipped = found(tmp_path, "pairs")
    assert songs == {
        "a_1": {"vocals": "a_1.vocals.opus", "instrumental": "a_1.accompaniment.opus"},
        "b": {"mixture": "b_mix.wav", "instrumental": "b_no_vocals.wav"},
        "e": {"mixture": "mixtures/e_mix.wav", "instrumental": "Instruments/e_inst.wav"},
        "f": {"mixture": "mixtures/f.wav", "instrumental": "Instruments/f.flac"},
    }
    assert skipped["c"] == "only its vocals: the other file of the pair is missing"
    assert "no stem in its name" in skipped["d.wav"]


@pytest.mark.parametrize("layout", ["instrumental", "vocals"])
def test_every_file_below_a_folder_is_a_song(tmp_path: Path, layout: Layout) -> None:
    tree(tmp_path, "x/1.wav", "x/y/1.mp3", "2.ogg", "x/.hidden.wav", "readme.txt")
    assert found(tmp_path, layout)[0] == {
        "2": {layout: "2.ogg"},
        "x/1": {layout: "x/1.wav"},
        "x/y/1": {layout: "x/y/1.mp3"},
    }


def test_crops_tell_by_their_arrays_what_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "cs2048_sr44100_hl1024_nf2048_of0"
    pairs, vocals = (folder.with_name(folder.name + end) for end in ("_PAIRS", "_VOCALS"))
    for each in (folder, pairs, vocals):
        each.mkdir()
    x = np.zeros((2, 1025, 3), np.complex64)
    np.savez(folder / "a.npz", X=x, c=1.0)
    np.savez(folder / "b.npz", X=x, c=1.0, vocals=True)
    np.savez(folder / "c.npz", Z=x)
    np.savez(folder / "d.npz", X=np.array([{}], object))
    (folder / "e.npz").write_bytes((folder / "a.npz").read_bytes()[:-50])
    np.savez(pairs / "f.npz", X=x, Y=x, c=1.0)
    np.savez(vocals / "g.npz", X=x, c=1.0)
    everything = {song.name.rpartition("/")[2]: song for song in find(tmp_path, DataSource(folder=".", layout="npz"))}
    kinds = {name: (song.kind, [*song.files]) for name, song in everything.items() if isinstance(song, SongFiles)}
    assert kinds == {
        "a": ("instrumental", ["instrumental"]),
        "b": ("vocals", ["vocals"]),
        "d": ("instrumental", ["instrumental"]),  # that X is no spectrum shows when it is read
        "f": ("song", ["mixture", "instrumental"]),
        "g": ("vocals", ["vocals"]),
    }
    reasons = {name: song.reason for name, song in everything.items() if isinstance(song, SkippedSong)}
    assert reasons["c"] == "no spectrum X: it holds Z"
    assert "cannot be read" in reasons["e"]
