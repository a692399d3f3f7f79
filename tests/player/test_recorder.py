"""The recorder is a guest: it writes what the rings have, silence for the rest, and is never waited for."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import RtsepError
from rtsep.player.recorder import BLOCK, Recorder
from rtsep.shared.state import SharedLayout, SharedState
from tests.waiting import wait_until

RATE = 44100
STEMS = ("vocals", "drums")


def make_deck(capacity: int = 2**17) -> SharedState:
    layout = SharedLayout(STEMS, mixture_capacity=capacity, stem_capacity=capacity)
    shared = SharedState(layout, bytearray(layout.nbytes))
    shared.initialise()
    shared.mixture.restart(3, 0, 0)
    return shared


def noise(rows: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, samples)).astype(np.float32)


def read(path: Path) -> np.ndarray:
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate == RATE
    return sound.T


def test_mixture_and_stems_are_written_from_the_asked_position_to_the_last_stem(tmp_path: Path) -> None:
    shared = make_deck()
    mixture, stems = noise(2, 50001), noise(4, 48007, 1)
    recorder = Recorder(shared, tmp_path / "a" / "take", STEMS)
    shared.mixture.write(mixture)
    shared.stem.restart(3, 0, 0)
    recorder.start(3, 5)
    shared.stem.write(stems)
    recorder.close()
    recorder.close()
    folder = tmp_path / "a" / "take"
    np.testing.assert_array_equal(read(folder / "mixture.wav"), mixture[:, 5:48007])
    np.testing.assert_array_equal(read(folder / "vocals.wav"), stems[:2, 5:])
    np.testing.assert_array_equal(read(folder / "drums.wav"), stems[2:, 5:])
    assert sorted(path.name for path in folder.iterdir()) == ["drums.wav", "mixture.wav", "vocals.wav"]
    assert (recorder.gaps, recorder.failure) == (0, None)


def test_stems_that_were_skipped_are_silence_and_one_gap(tmp_path: Path) -> None:
    shared = make_deck()
    mixture, stems = noise(2, 120_000), noise(4, 120_000, 1)
    recorder = Recorder(shared, tmp_path, STEMS)
    shared.stem.restart(3, 0, 0)
    recorder.start(3, 0)
    shared.mixture.write(mixture[:, :20_000])
    shared.stem.write(stems[:, :20_000])
    wait_until(lambda: recorder.seconds * RATE >= 2 * BLOCK)
    shared.mixture.write(mixture[:, 20_000:])
    shared.stem.restart(3, 60_000, 60_000)  # a worker that has skipped
    shared.stem.write(stems[:, 60_000:])
    recorder.close()
    vocals = read(tmp_path / "vocals.wav")
    np.testing.assert_array_equal(read(tmp_path / "mixture.wav"), mixture)
    np.testing.assert_array_equal(vocals[:, : 2 * BLOCK], stems[:2, : 2 * BLOCK])
    assert not vocals[:, 20_000:60_000].any()
    np.testing.assert_array_equal(vocals[:, 60_000:], stems[:2, 60_000:])
    assert recorder.gaps == 1


def test_without_any_stems_the_mixture_is_still_recorded(tmp_path: Path) -> None:
    shared = make_deck(2**19)
    recorder = Recorder(shared, tmp_path, STEMS)
    recorder.start(3, 0)
    for seed in range(4):
        shared.mixture.write(noise(2, RATE, seed))
    wait_until(lambda: recorder.seconds > 1.5)
    assert recorder.gaps == 1
    recorder.close()


def test_overtaken_it_counts_a_gap_and_goes_on_in_step(tmp_path: Path) -> None:
    shared = make_deck(2**14)
    recorder = Recorder(shared, tmp_path, STEMS)
    shared.stem.restart(3, 0, 0)
    for seed in range(20):  # before it looks for the first time
        shared.mixture.write(noise(2, 2**14, seed))
        shared.stem.write(noise(4, 2**14, seed))
    recorder.start(3, 0)
    recorder.close()
    mixture = read(tmp_path / "mixture.wav")
    assert mixture.shape[1] == 20 * 2**14
    assert not mixture[:, : 18 * 2**14].any()
    np.testing.assert_array_equal(mixture[:, 19 * 2**14 :], noise(2, 2**14, 19))
    assert recorder.gaps == 1


def test_what_was_never_begun_leaves_nothing_and_what_is_there_is_kept(tmp_path: Path) -> None:
    Recorder(make_deck(), tmp_path, STEMS).close()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "drums.wav").write_text("precious")
    with pytest.raises(RtsepError, match=r"drums\.wav exists already"):
        Recorder(make_deck(), tmp_path, STEMS)
    assert (tmp_path / "drums.wav").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["drums.wav"]


def test_a_disk_that_refuses_is_told_and_nobody_is_held_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = make_deck()
    recorder = Recorder(shared, tmp_path, STEMS)

    def refuse(_: np.ndarray) -> None:
        raise RtsepError("no room left")

    monkeypatch.setattr(recorder._wavs[1], "write", refuse)
    shared.mixture.write(noise(2, 2 * BLOCK))
    shared.stem.restart(3, 0, 0)
    shared.stem.write(noise(4, 2 * BLOCK))
    recorder.start(3, 0)
    deadline = time.monotonic() + 5
    while recorder.failure is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    recorder.close()
    assert recorder.failure == "no room left"
    assert list(tmp_path.iterdir()) == []
