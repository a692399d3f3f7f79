"""Rates are converted without moving anything in time, in exactly as many samples as there should be."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsep.audio.files.reader import open_audio
from rtsep.audio.files.resample import EngineReader, StreamResampler, resampled_length
from rtsep.errors import RtsepError
from rtsep.timebase import SAMPLE_RATE

RATES = [8000, 11025, 22050, 32000, 44100, 48000, 88200, 96000, 192000, 37800, 44101]


def convert(samples: np.ndarray, rate_in: int, rate_out: int, blocks: list[int] | None = None) -> np.ndarray:
    resampler = StreamResampler(rate_in, rate_out, samples.shape[0])
    out, at = [], 0
    for block in blocks or []:
        out.append(resampler.push(samples[:, at : at + block]))
        at += block
    out += [resampler.push(samples[:, at:]), resampler.flush()]
    return np.concatenate(out, axis=1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frames", [0, 1, 2, 5, 1023, 44101])
def test_length_is_exact_both_ways(rate: int, frames: int) -> None:
    for rate_in, rate_out in ((rate, SAMPLE_RATE), (SAMPLE_RATE, rate)):
        wanted = int(np.floor(frames * rate_out / rate_in + 0.5))
        assert resampled_length(frames, rate_in, rate_out) == wanted
        assert convert(np.ones((2, frames), np.float32), rate_in, rate_out).shape == (2, wanted)


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_phase(rate: int) -> None:
    def tone(at_rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 997.0 * np.arange(at_rate) / at_rate, dtype=np.float64)[None].astype(np.float32)

    for rate_in, rate_out in ((rate, SAMPLE_RATE), (SAMPLE_RATE, rate)):
        error = convert(tone(rate_in), rate_in, rate_out)[0] - tone(rate_out)[0]
        edge = rate_out // 20  # the tone begins and ends out of nothing
        assert np.abs(error[edge:-edge]).max() < 2e-5


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000])
def test_an_impulse_stays_in_its_place(rate: int) -> None:
    place = rate // 3
    impulse = np.zeros((1, rate), np.float32)
    impulse[0, place] = 1.0
    out = convert(impulse, rate, SAMPLE_RATE)[0].astype(np.float64)
    # The middle of its energy: an impulse between two samples has no peak of its own.
    middle = (np.arange(out.size) * out**2).sum() / (out**2).sum()
    assert middle == pytest.approx(place * SAMPLE_RATE / rate, abs=0.02)


@settings(max_examples=40, deadline=None)
@given(
    blocks=st.lists(st.sampled_from([0, 1, 2, 64, 441, 1023, 4097, 20000]), max_size=12),
    rate=st.sampled_from([8000, 44100, 48000, 96000]),
)
def test_block_sizes_change_nothing(blocks: list[int], rate: int) -> None:
    samples = np.random.default_rng(1).standard_normal((2, 20011)).astype(np.float32)
    whole = convert(samples, rate, SAMPLE_RATE)
    assert np.array_equal(convert(samples, rate, SAMPLE_RATE, blocks), whole)


def test_a_flushed_resampler_starts_afresh() -> None:
    samples = np.random.default_rng(2).standard_normal((2, 5000)).astype(np.float32)
    resampler = StreamResampler(48000, SAMPLE_RATE, 2)
    first = np.concatenate([resampler.push(samples), resampler.flush()], axis=1)
    second = np.concatenate([resampler.push(samples), resampler.flush()], axis=1)
    assert np.array_equal(first, second)


def test_equal_rates_touch_nothing() -> None:
    samples = np.random.default_rng(3).standard_normal((2, 777)).astype(np.float32)
    assert np.array_equal(convert(samples, 44100, 44100, [5, 0, 100]), samples)


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(2, n\)"):
        StreamResampler(48000, 44100, 2).push(np.zeros((1, 5), np.float32))


class TestEngineReader:
    @pytest.fixture(params=[8000, 44100, 48000, 96000, 44101])
    def noise(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        path = tmp_path / f"{request.param}.wav"
        samples = np.random.default_rng(4).standard_normal((request.param * 3 + 7, 2)) * 0.1
        soundfile.write(path, samples, request.param, subtype="FLOAT")
        return path

    def test_reads_in_any_block_size_the_same(self, noise: Path) -> None:
        with open_audio(noise) as plain:
            original = plain.read(10**7)
            expected = convert(original, plain.sample_rate, SAMPLE_RATE)
        for block in (1000, 4097, 50000):
            reader = EngineReader(open_audio(noise))
            length = reader.length
            pieces = []
            while (piece := reader.read(block)).shape[1]:
                pieces.append(piece)
            assert all(piece.shape[1] == block for piece in pieces[:-1])
            joined = np.concatenate(pieces, axis=1)
            assert joined.shape[1] == length == resampled_length(original.shape[1], plain.sample_rate, SAMPLE_RATE)
            assert np.array_equal(joined, expected)
            reader.close()

    def test_seek_is_the_same_as_having_read_through(self, noise: Path) -> None:
        reader = EngineReader(open_audio(noise))
        whole = reader.read(10**7)
        places = np.random.default_rng(5).integers(0, whole.shape[1], 25).tolist()
        for place in [0, 1, 147, whole.shape[1] - 1, whole.shape[1], *places]:
            reader.seek(place)
            heard = reader.read(3000)
            assert heard.shape[1] == min(3000, whole.shape[1] - place)
            assert np.allclose(heard, whole[:, place : place + 3000], atol=2e-5), place
        reader.seek(whole.shape[1] + 5000)
        assert reader.read(10).shape == (2, 0)
        reader.close()


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("at", [16384, 30001])
def test_what_is_before_a_sample_that_is_no_number_is_given(tmp_path: Path, rate: int, at: int) -> None:
    samples = np.random.default_rng(at).uniform(-0.5, 0.5, (rate, 2)).astype(np.float32)
    soundfile.write(tmp_path / "good.wav", samples[:at], rate, subtype="FLOAT")
    samples[at] = np.nan
    soundfile.write(tmp_path / "bad.wav", samples, rate, subtype="FLOAT")
    good, bad = (EngineReader(open_audio(tmp_path / name)) for name in ("good.wav", "bad.wav"))
    expected = good.read(rate)
    heard = bad.read(rate)
    assert heard.shape == (2, resampled_length(at, rate, SAMPLE_RATE))
    np.testing.assert_array_equal(heard, expected)
    for _ in range(2):
        with pytest.raises(RtsepError, match="not a number"):
            bad.read(1)
    bad.seek(0)
    np.testing.assert_array_equal(bad.read(1000), expected[:, :1000])
    good.close()
    bad.close()
