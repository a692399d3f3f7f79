"""The waveform overview: what its columns hold, lengths nobody knows, damage, songs that change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.files.tags import Tags, write_tags
from rtsep.player.overview import COLUMN, COLUMN_S, HIGHEST, LOWEST, RMS, Overview, Overviews
from rtsep.player.overview_worker import measure
from rtsep.player.queue.song import Song
from tests.waiting import wait_until


@pytest.fixture
def overviews():
    made = Overviews()
    yield made
    made.close()


def test_columns_are_lowest_highest_and_rms_of_both_channels(short_wav: Path, overviews: Overviews) -> None:
    overview = overviews.find(short_wav)
    wait_until(lambda: overview.complete)
    samples = soundfile.read(short_wav)[0]
    assert overview.error is None
    assert (overview.title, overview.artist) == ("", "")
    assert len(overview.columns) == -(-len(samples) // COLUMN)
    for number in (0, 40, len(overview.columns) - 1):
        block = samples[number * COLUMN : (number + 1) * COLUMN]
        expected = block.min(), block.max(), np.sqrt(np.mean(block**2))
        np.testing.assert_allclose(overview.columns[number], expected, atol=1e-6)
    assert overviews.find(short_wav) is overview  # remembered


def test_another_song_takes_the_place_of_one_that_is_unfinished(
    song: Path, short_wav: Path, overviews: Overviews
) -> None:
    long = overviews.find(song / "mixture.flac")
    short = overviews.find(short_wav)
    wait_until(lambda: long.complete and short.complete)
    assert len(short.columns) == 87
    if len(long.columns) < 1000:  # it was stopped: asked for again, it is decoded again
        assert overviews.find(song / "mixture.flac") is not long


def test_a_song_that_is_cut_off_is_shown_as_far_as_it_goes(
    tmp_path: Path, short_wav: Path, overviews: Overviews
) -> None:
    path = tmp_path / "half.flac"
    soundfile.write(path, soundfile.read(short_wav)[0], 44100)
    with path.open("r+b") as file:
        write_tags(file, "flac", Tags({"title": ("Boats",), "artist": ("Somebody",)}))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    overview = overviews.find(path)
    wait_until(lambda: overview.complete)
    assert 20 < len(overview.columns) < 87
    assert overview.error is not None and "half.flac" in overview.error
    assert (overview.title, overview.artist) == ("Boats", "Somebody")


def test_what_is_no_song_is_a_line(tmp_path: Path, overviews: Overviews) -> None:
    overview = overviews.find(tmp_path / "nothing.flac")
    wait_until(lambda: overview.complete)
    assert overview.error is not None and overview.error.endswith("nothing.flac does not exist")
    assert len(overview.columns) == 0
    assert np.isnan(overview.resample(0.0, 1.0, 4)).all()


def test_a_process_that_is_killed_ends_the_overview_with_a_line(song: Path, overviews: Overviews) -> None:
    overview = overviews.find(song / "mixture.flac")
    assert overviews._current is not None
    overviews._current[1].kill()
    wait_until(lambda: overview.complete)
    assert overview.error is not None and "mixture.flac" in overview.error


def test_every_length_is_covered_to_its_last_sample(tmp_path: Path) -> None:
    path = tmp_path / "end.wav"
    for length in (1, COLUMN, COLUMN + 1, 300 * COLUMN + 5):
        samples = np.zeros(length, np.float32)
        samples[-1] = 0.5
        soundfile.write(path, samples, 44100, subtype="FLOAT")
        columns = np.concatenate(list(measure(Song(path))))
        assert len(columns) == -(-length // COLUMN)
        assert columns[-1, HIGHEST] == 0.5
        assert not columns[:-1].any()


def test_resampling_keeps_peaks_and_power_and_marks_what_is_unknown() -> None:
    overview = Overview(Path("song"))
    columns = np.zeros((10_000, 3), np.float32)
    columns[:, RMS] = 0.1
    columns[1234] = -0.5, 0.75, 0.6
    for part in np.split(columns, [100, 5000]):
        overview.extend(part)
    assert np.array_equal(overview.columns, columns)
    whole = overview.resample(0.0, 20_000 * COLUMN_S, 100)
    assert np.isnan(whole[50:]).all() and not np.isnan(whole[:50]).any()
    assert whole[1234 // 200].tolist()[:2] == [-0.5, 0.75]
    assert whole[1234 // 200, RMS] == pytest.approx(np.sqrt((199 * 0.01 + 0.36) / 200))
    assert whole[0, RMS] == pytest.approx(0.1)
    closer = overview.resample(1233 * COLUMN_S, 1237 * COLUMN_S, 8)  # two for each column
    assert closer[:, HIGHEST].tolist() == [0, 0, 0.75, 0.75, 0, 0, 0, 0]
    assert closer[:, LOWEST].tolist() == [0, 0, -0.5, -0.5, 0, 0, 0, 0]
