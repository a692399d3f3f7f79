"""Songs are remembered by the commands that restore them, with a real player and no device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.control.commands import mixing, navigation, practice
from rtsep.control.desk import Desk
from rtsep.control.memory import Memory, decode, encode
from rtsep.control.song_store import SongStore
from rtsep.player.file_player import FilePlayer
from rtsep.player.notices import Notices
from tests.waiting import wait_until


@pytest.fixture
def songs(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("a.wav", "b.wav")]
    for path in paths:
        soundfile.write(path, np.zeros((20 * 44100, 2), np.float32), 44100)
    return paths


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SongStore]:
    with SongStore(tmp_path / "state") as store:
        yield store


def test_what_is_set_while_a_song_plays_is_set_when_it_plays_again(
    songs: list[Path], store: SongStore, constant_bundle: Callable[..., Path]
) -> None:
    notices = Notices()
    with FilePlayer(*songs, model=constant_bundle()) as player:
        desk = Desk(player)

        def faders() -> list[float]:
            return [fader.gain_db for fader in desk.state().player.faders]

        with Memory(desk, store, notices, restores_first=True):
            desk.do(mixing.SetGain("vocals", -12.0))
            desk.do(mixing.SetMute("instrumental", True))
            desk.do(mixing.SetVolume(-6.0))
            desk.do(practice.SetKey(-2.0))
            desk.do(navigation.Seek(11.0))
        assert list(notices) == []
        desk.do(mixing.AllOn())
        desk.do(practice.SetKey(0.0))
        desk.do(mixing.SetGain("vocals", 0.0))
        desk.do(mixing.SetVolume(0.0))
        with Memory(desk, store, notices, restores_first=True):
            assert faders() == [-12.0, 0.0]
            desk.do(navigation.Next())
            wait_until(lambda: store.song(songs[0]) is not None and desk.state().player.track == 1)
            desk.do(mixing.SetGain("vocals", -3.0))
        said = "; --no-state plays without"
        assert list(notices) == [
            f"as last time: volume -6 dB{said}",
            f"as last time: vocals -12 dB, instrumental muted, key -2{said}",
        ]
        first, second = store.song(songs[0]), store.song(songs[1])
        assert first is not None and second is not None
        assert (first.position_s, second.position_s) == (11.0, 0.0)
        with Memory(desk, store, notices, restores_first=True):
            assert faders() == [-3.0, 0.0]
        with Memory(desk, store, notices, restores_first=False):  # the user has given gains
            desk.do(mixing.SetGain("vocals", 1.0))
            desk.do(navigation.Previous())
            desk.do(navigation.Previous())
            wait_until(lambda: faders() == [-12.0, 0.0])
        assert b'"gain_db":1.0' in (store.song(songs[1]) or second).commands  # type: ignore[operator]


def test_commands_that_this_version_does_not_know_are_left_out() -> None:
    known = [mixing.SetGain("vocals", None), mixing.SetMute("drums", False)]
    data = encode(known)
    assert decode(data) == known
    odd = b',{"command":"set_reverb","amount":3},{"command":"set_gain","stem":"x","gain_db":900},7]'
    assert decode(data[:-1] + odd) == known
    assert decode(b"[") == decode(b"\xff") == decode(b"{}") == []
