"""The bundled song through real (virtual) speakers: what is captured is what `separate` gives, sample for sample.

The first seconds of it; RTSEP_WHOLE_SONG=1: all of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.audio.devices.discovery import find_device
from rtsep.audio.streams.device_stream import OutputStream
from rtsep.player.file_player import FilePlayer
from rtsep.player.snapshot import PlayerSnapshot
from tests.listening import RATE, Recorder, excused_by_stalls, place_of
from tests.virtual_audio import VirtualAudio

CHUNK = 8
WHOLE = os.environ.get("RTSEP_WHOLE_SONG") == "1"
EXCERPT_S = 6


@pytest.fixture(scope="module")
def instrumental(default_bundle: Path, song: Path) -> np.ndarray:
    """The stem (2, n) as `rtsep separate --chunk 8` writes it, of the whole song or of more than the excerpt."""
    mixture, rate = soundfile.read(song / "mixture.flac", dtype="float32", always_2d=True)
    assert rate == RATE
    separator = rtsep.load(default_bundle, chunk=CHUNK)
    if WHOLE:
        pieces = [separator.feed(mixture.T), separator.flush()]
    else:
        pieces = [separator.feed(mixture.T[:, : (EXCERPT_S + 2) * RATE])]
    return np.concatenate([piece["instrumental"] for piece in pieces], axis=1)


@pytest.fixture
def record(virtual_audio: VirtualAudio, tmp_path: Path) -> Iterator[Callable[[], Recorder]]:
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder(virtual_audio, tmp_path / "capture.raw"))
        return made[-1]

    yield make
    for recorder in made:
        recorder.stop()


def decibels(error: np.ndarray, signal: np.ndarray) -> float:
    return 10 * float(np.log10(np.sum(error.astype(float) ** 2) / np.sum(signal.astype(float) ** 2)))


def played_and_captured(
    song: Path, bundle: Path, record: Callable[[], Recorder], block: int
) -> tuple[PlayerSnapshot, np.ndarray]:
    """The song played without its vocals: the status at the end, and what was heard, (2, n)."""
    device = find_device("rt_out").index
    recorder = record()
    with FilePlayer(
        song / "mixture.flac",
        model=bundle,
        chunk=CHUNK,
        open_stream=lambda shared: OutputStream(shared, device, blocksize=block),
    ) as player:
        player.set_gain("vocals", float("-inf"))
        player.open()
        player.play()
        deadline = time.monotonic() + 90
        while not player.ended and (WHOLE or player.position < EXCERPT_S * RATE):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if WHOLE:
            time.sleep(0.5)  # the device still plays what it has
        status = player.status()
    heard = recorder.stop()
    return status, heard


def residual(heard: np.ndarray, instrumental: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """How far what was heard is from the stem, in dB, and both, time-aligned."""
    expected = instrumental if WHOLE else instrumental[:, : EXCERPT_S * RATE - 8192]
    middle = expected.shape[1] // 2
    begin = max(place_of(expected[0, middle : middle + 2 * RATE], heard[0]) - middle, 0)
    got = np.zeros_like(expected)
    there = heard[:, begin : begin + expected.shape[1]]
    got[:, : there.shape[1]] = there
    # Playing begins with a fade of 64 samples: little in a song, and not counted against the excerpt.
    return decibels((got - expected)[:, 0 if WHOLE else 64 :], expected), got, expected


@pytest.mark.parametrize("block", [256, 1024])
@excused_by_stalls
def test_the_capture_is_the_separated_file(
    song: Path, default_bundle: Path, instrumental: np.ndarray, record: Callable[[], Recorder], block: int
) -> None:
    status, heard = played_and_captured(song, default_bundle, record, block)
    residual_db, got, expected = residual(heard, instrumental)
    assert (status.dry_s, status.late_blocks, status.starved_s, status.clipped_samples) == (0.0, 0, 0.0, 0)
    assert residual_db <= -60
    # Not one sample missing, double or late: every tenth of a second by itself.
    for at in range(64, expected.shape[1] - RATE // 10, RATE // 10):
        part = slice(at, at + RATE // 10)
        error = np.abs(got[:, part] - expected[:, part]).max()
        assert error <= 1e-3 * max(np.abs(expected[:, part]).max(), 1e-2), f"at {at / RATE:.1f} s"
    print(f"block {block}: residual {residual_db:.1f} dB over {expected.shape[1]} samples")


@excused_by_stalls
def test_a_captured_queue_has_every_sample_of_both_songs_and_nothing_between(
    tmp_path: Path, constant_bundle: Callable[..., Path], record: Callable[[], Recorder]
) -> None:
    """The songs are two halves of noise, cut at an odd place: a sample too many or too few would show."""
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, (4 * RATE, 2)).astype(np.float32)
    cut = 2 * RATE + 333
    for name, part in (("first", noise[:cut]), ("second", noise[cut:])):
        soundfile.write(tmp_path / f"{name}.wav", part, RATE, subtype="FLOAT")
    device = find_device("rt_out").index
    recorder = record()
    with FilePlayer(
        *(tmp_path / "first.wav", tmp_path / "second.wav"),
        model=constant_bundle(vocals=0.25, instrumental=0.5),
        open_stream=lambda shared: OutputStream(shared, device),
    ) as player:
        player.open()
        player.play()
        deadline = time.monotonic() + 30
        while not player.ended:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)  # the device still plays what it has
        status = player.status()
    assert (status.dry_s, status.late_blocks, status.starved_s) == (0.0, 0, 0.0)
    heard = recorder.stop()
    expected = 0.75 * noise.T
    begin = place_of(expected[0, RATE : 2 * RATE], heard[0]) - RATE
    got = heard[:, begin : begin + expected.shape[1]]
    np.testing.assert_allclose(got[:, 64:], expected[:, 64:], atol=1e-4)
