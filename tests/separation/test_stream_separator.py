"""The stream in, the stems out: reconstruction, alignment, block sizes. All of it in process, without
rings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtsep
from rtsep.errors import RtsepError, UsageError
from rtsep.nn.constant import ConstantMask
from rtsep.nn.contract import StreamingNetwork
from rtsep.nn.frame_transformer import FrameTransformer
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from rtsep.separation.processor import BrokenNetwork, Processor
from rtsep.separation.stream_separator import StreamSeparator
from rtsep.timebase import HOP
from tests.networks import BrokenWhenLoud, Delayed

LENGTHS = [0, 1, 1023, 1024, 4095, 4096, 4097, 44100 * 3 + 7]
BLOCKS = [1, 64, 441, 1024, 5000]


MODES = {"standard": 4096, "medium": 3072, "low": 2048}


def separator(network: StreamingNetwork, chunk: int, latency: str = "standard") -> StreamSeparator:
    return StreamSeparator(Processor(TorchStepper(network, choose_compute("cpu"), chunk), latency), chunk)


def noise(length: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (2, length)).astype(np.float32)


def feed(separator: StreamSeparator, mixture: np.ndarray, blocks: Sequence[int]) -> dict[str, np.ndarray]:
    """Push the mixture in blocks of the given sizes, over and over, and flush."""
    pieces = []
    position = turn = 0
    while position < mixture.shape[1]:
        size = blocks[turn % len(blocks)]
        pieces.append(separator.feed(mixture[:, position : position + size]))
        position, turn = position + size, turn + 1
    pieces.append(separator.flush())
    return {stem: np.concatenate([piece[stem] for piece in pieces], axis=1) for stem in separator.stems}


@pytest.fixture(scope="module")
def transformer() -> FrameTransformer:
    """The default network's kind, small, with random weights."""
    import torch

    torch.manual_seed(3)
    return FrameTransformer(stems=("vocals", "instrumental"))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("latency", MODES)
def test_masks_of_one_give_the_input_back(length: int, block: int, latency: str) -> None:
    if block == 1 and length > 5000 and latency != "standard":
        length = 5003  # a call a sample takes long, and how blocks are cut is no matter of the mode
    mixture = noise(length)
    stems = feed(separator(ConstantMask(["all"], [1.0]), 3, latency), mixture, [block])
    assert stems["all"].shape == mixture.shape
    assert np.abs(stems["all"] - mixture).max(initial=0.0) <= 1e-6


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(0, 20000),
    blocks=st.lists(st.integers(0, 6000), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 30),
    chunk=st.sampled_from([1, 2, 7, 32]),
    latency=st.sampled_from(list(MODES)),
)
def test_stems_sum_to_the_input_however_it_is_cut(length: int, blocks: list[int], chunk: int, latency: str) -> None:
    mixture = noise(length, seed=length)
    stems = feed(separator(ConstantMask(["a", "b"], [0.3, 0.7]), chunk, latency), mixture, blocks)
    assert np.abs(stems["a"] + stems["b"] - mixture).max(initial=0.0) <= 1e-6
    assert np.abs(stems["a"] - 0.3 * mixture).max(initial=0.0) <= 1e-6


@pytest.mark.parametrize("chunk", [1, 5, 32])
def test_the_answer_does_not_depend_on_the_blocks(transformer: FrameTransformer, chunk: int) -> None:
    mixture = noise(50 * HOP + 333)
    whole = feed(separator(transformer, chunk), mixture, [mixture.shape[1]])
    for blocks in ([441], [1, 5000, 0, 1023]):
        cut = feed(separator(transformer, chunk), mixture, blocks)
        for stem in whole:
            np.testing.assert_array_equal(whole[stem], cut[stem])


@pytest.mark.parametrize("latency", MODES)
def test_stems_of_a_network_sum_to_the_mixture_also_above_its_bins(transformer: FrameTransformer, latency: str) -> None:
    mixture = noise(20 * HOP + 77)  # white: as much above 11 kHz as below
    stems = feed(separator(transformer, 4, latency), mixture, [3000])
    np.testing.assert_allclose(stems["vocals"] + stems["instrumental"], mixture, atol=2e-6)
    high = np.fft.rfft(stems["vocals"])[:, mixture.shape[1] // 4 + 500 :]
    assert np.abs(high).mean() > 0.05 * np.abs(np.fft.rfft(mixture)).mean()


def test_a_flushed_separator_begins_anew(transformer: FrameTransformer) -> None:
    used = separator(transformer, 4)
    first = feed(used, noise(30000), [5000])
    again = feed(used, noise(30000), [5000])
    np.testing.assert_array_equal(first["vocals"], again["vocals"])


def test_reset_in_mid_stream_forgets_everything(transformer: FrameTransformer) -> None:
    fresh = feed(separator(transformer, 4), noise(9999), [777])
    used = separator(transformer, 4)
    used.feed(noise(23456, seed=9))
    used.reset()
    np.testing.assert_array_equal(fresh["vocals"], feed(used, noise(9999), [777])["vocals"])


def test_streamed_masks_are_those_of_the_whole_song(transformer: FrameTransformer) -> None:
    """The network's `forward` over a plain STFT of the song, masks applied, inverted: another path, the same
    stems."""
    import torch

    chunk, hops = 4, 45
    mixture = noise(hops * HOP) * np.linspace(0.01, 1, hops * HOP, dtype=np.float32)
    padded_hops = -(-(hops + 3) // chunk) * chunk
    padded = torch.nn.functional.pad(torch.from_numpy(mixture), (3 * HOP, (padded_hops - hops) * HOP))
    window = torch.hann_window(4096, periodic=True)
    spectrum = torch.stft(padded, 4096, HOP, window=window, center=False, return_complex=True)
    with torch.inference_mode():
        masks = transformer.eval()(spectrum[None, :, :1024].abs(), chunk=chunk)[0]
    full = torch.cat([masks[..., :-1, :], masks[..., -1:, :].expand(-1, -1, 1025, -1)], dim=-2)
    frames = torch.fft.irfft((full * spectrum).transpose(-1, -2)) * window
    expected = torch.zeros(2, 2, padded.shape[1])
    for frame in range(frames.shape[2]):
        expected[..., frame * HOP : frame * HOP + 4096] += frames[:, :, frame] / 1.5
    stems = feed(separator(transformer, chunk), mixture, [5000])
    for index, stem in enumerate(transformer.stems):
        np.testing.assert_allclose(stems[stem], expected[index, :, 3 * HOP :][:, : hops * HOP].numpy(), atol=2e-5)


def test_lookahead_delays_and_stays_aligned() -> None:
    """A mask that comes two frames late is applied to the frame it was made for."""
    mixture = noise(40 * HOP + 5)
    mixture[:, 15 * HOP : 25 * HOP] *= 0.01
    stems = feed(separator(Delayed(["a", "b"], [0.5, 0.5]), chunk=3), mixture, [1000])
    np.testing.assert_allclose(stems["a"] + stems["b"], mixture, atol=1e-6)
    quiet = slice(19 * HOP, 21 * HOP)  # all of its frames are quiet: the first stem has nearly everything
    assert np.vdot(stems["a"][:, quiet], mixture[:, quiet]) > 0.6 * np.vdot(mixture[:, quiet], mixture[:, quiet])
    loud = slice(5 * HOP, 8 * HOP)
    assert np.vdot(stems["a"][:, loud], mixture[:, loud]) < 0.1 * np.vdot(mixture[:, loud], mixture[:, loud])


@pytest.mark.parametrize("chunk", [1, 8])
@pytest.mark.parametrize("network", [ConstantMask(["a"], [1.0]), Delayed(["a", "b"], [0.5, 0.5])], ids=["none", "2"])
@pytest.mark.parametrize("latency", MODES)
def test_latency_is_as_declared(network: StreamingNetwork, chunk: int, latency: str) -> None:
    """Before that many samples are in, a sample may be missing; with one more it is always there."""
    stream = separator(network, chunk, latency)
    assert stream.latency_samples == MODES[latency] + (network.lookahead_frames + chunk - 1) * HOP - 1
    fed = returned = most = 0
    for _ in range(60):
        fed += 512
        returned += stream.feed(noise(512))["a"].shape[1]
        most = max(most, fed - returned)
    assert stream.latency_samples - 512 < most <= stream.latency_samples


@pytest.mark.parametrize("latency", MODES)
def test_numbers_that_are_none_do_not_come_out(latency: str) -> None:
    stream = separator(BrokenWhenLoud(["a"], [1.0]), 2, latency)
    with pytest.raises(BrokenNetwork):
        stream.feed(noise(10 * HOP) * 1000)
    quiet = noise(20 * HOP) * 0.01
    np.testing.assert_allclose(feed(stream, quiet, [1000])["a"], quiet, atol=1e-6)  # as good as new


def test_wrong_input_says_what_was_expected() -> None:
    stream = separator(ConstantMask(["a"], [1.0]), 2)
    for wrong in (np.zeros(5, np.float32), np.zeros((1, 5), np.float32), np.zeros((5, 2), np.float32)):
        with pytest.raises(ValueError, match=r"\(2, n\)"):
            stream.feed(wrong)
    with pytest.raises(ValueError, match="int16"):
        stream.feed(np.zeros((2, 5), np.int16))  # type: ignore[arg-type]


def test_load_finds_models_and_refuses_what_is_not_there(constant_bundle: Callable[..., Path]) -> None:
    stream = rtsep.load(constant_bundle(vocals=0.25, instrumental=0.75), chunk=2)
    assert isinstance(stream, rtsep.Separator)
    assert stream.stems == ("vocals", "instrumental")
    with pytest.raises(RtsepError, match="nowhere"):
        rtsep.load("nowhere")
    with pytest.raises(ValueError, match="1 to 32"):
        rtsep.load(constant_bundle(), chunk=33)
    assert rtsep.load(constant_bundle(), chunk=1, latency="low").latency_samples == 2047
    with pytest.raises(UsageError, match="latency='none': expected standard, medium, low or milliseconds"):
        rtsep.load(constant_bundle(), latency="none")


def test_a_script_without_main_guard_separates(constant_bundle: Callable[..., Path], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy, rtsep\n"
        f"separator = rtsep.load({str(constant_bundle(vocals=1.0))!r})\n"
        "block = numpy.ones((2, 5000), numpy.float32)\n"
        "out = [separator.feed(block)['vocals'], separator.flush()['vocals']]\n"
        "print(numpy.abs(numpy.concatenate(out, axis=1) - block).max() < 1e-6)\n"
    )
    root = str(Path(rtsep.__file__).parent.parent)
    child = subprocess.run(
        [sys.executable, script],
        env={"PYTHONPATH": root, "PATH": ""},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert child.stdout == "True\n"
