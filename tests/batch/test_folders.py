"""Folders in place of audio files."""

from __future__ import annotations

from pathlib import Path

from rtsep.audio.files.folders import with_folders_expanded
from rtsep.batch.inputs import find_inputs


def test_a_folder_stands_for_its_audio_files_in_natural_order(tmp_path: Path) -> None:
    songs = ["1 Intro.flac", "2.MP3", "010 b.ogg", "10 c.ogg", "CD1/9.wav", "CD2/01.opus", "CD10/a.m4a", "é.wv"]
    others = ["cover.jpg", "album.cue", ".hidden.wav", ".cache/1.wav", "CD1/._9.wav", "empty/notes.txt", "x.wav/no.txt"]
    for name in (*reversed(songs), *others):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    named = [tmp_path / "cover.jpg", tmp_path, tmp_path / "empty", tmp_path / "missing.wav"]
    expanded = [named[0], *(tmp_path / song for song in songs), *named[2:]]
    assert with_folders_expanded(named) == expanded
    inputs = find_inputs(named, Path("out"))
    assert inputs.songs == expanded[1:]
    assert inputs.notes == [
        f"{named[0]} is not audio; skipped",
        f"{tmp_path}: skipped 4 files that are not audio",
        f"{tmp_path / 'empty'}: skipped 1 file that is not audio",
    ]


def test_a_name_that_is_too_long_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    song = tmp_path / "1.wav"
    song.touch()
    assert with_folders_expanded([tmp_path / ("x" * 300), tmp_path]) == [tmp_path / ("x" * 300), song]
