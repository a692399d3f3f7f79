"""The file of remembered songs: several players, damage, other versions."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from rtsep.control.song_store import FILE, SongStore
from rtsep.errors import RtsepError


def test_songs_and_settings_are_there_the_next_time(tmp_path: Path) -> None:
    with SongStore(tmp_path) as store:
        assert store.song(tmp_path / "a.wav") is None
        assert store.setting("volume_db") is None
        store.write_song(tmp_path / "a.wav", 12.5, b"[1]")
        store.write_song(tmp_path / "b\udcff.wav", 1.0)
        store.write_setting("volume_db", "-3")
    (tmp_path / "folder").symlink_to(tmp_path)
    with SongStore(tmp_path) as store:
        store.write_song(tmp_path / "a.wav", 13.0)  # the commands stay
        record = store.song(tmp_path / "folder" / "." / "a.wav")
        assert record is not None
        assert (record.path, record.position_s, record.commands) == (tmp_path / "a.wav", 13.0, b"[1]")
        assert [song.position_s for song in store.recent(9)] == [13.0, 1.0]
        assert len(store.recent(1)) == 1
        assert store.setting("volume_db") == "-3"
        assert store.notice is None


@pytest.mark.parametrize("damage", [b"no database at all", b""])
def test_a_damaged_file_is_kept_aside_and_said(tmp_path: Path, damage: bytes) -> None:
    with SongStore(tmp_path) as store:
        for number in range(3):
            store.write_song(tmp_path / f"{number}.wav", 1.0, b"x" * 100)
    content = (tmp_path / FILE).read_bytes()
    damaged = damage or content[:5000] + b"\xff" * (len(content) - 5000)
    (tmp_path / FILE).write_bytes(damaged)
    with SongStore(tmp_path) as store:
        assert store.song(tmp_path / "0.wav") is None
        store.write_song(tmp_path / "0.wav", 2.0)
        (aside,) = tmp_path.glob(f"{FILE}.damaged-*")
        assert aside.read_bytes() == damaged
        assert store.notice == f"{tmp_path / FILE} was damaged: kept as {aside.name}, starting afresh"
    with SongStore(tmp_path) as store:
        assert store.notice is None


def test_the_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(RtsepError, match="written by a newer rtsep"):
        SongStore(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RtsepError, match="nothing is remembered"):
        SongStore(tmp_path / "file")


PLAYER = """
import sys
from pathlib import Path
from rtsep.control.song_store import SongStore

folder, name = Path(sys.argv[1]), sys.argv[2]
with SongStore(folder) as store:
    for number in range(10):
        store.write_song(folder / name, number, b"[]")
        store.write_song(folder / "both", number)
"""


def test_players_at_the_same_time_lose_nothing_also_where_they_find_it_damaged(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"damaged" * 1000)
    players = [subprocess.Popen([sys.executable, "-c", PLAYER, str(tmp_path), f"song{n}"]) for n in range(3)]
    assert [player.wait(timeout=60) for player in players] == [0, 0, 0]
    with SongStore(tmp_path) as store:
        found = {os.path.basename(song.path): song.position_s for song in store.recent(9)}
        assert found == {"song0": 9.0, "song1": 9.0, "song2": 9.0, "both": 9.0}
    assert len(list(tmp_path.glob("*damaged-*"))) == 1
