"""The compiled step of the frame transformer: the network's own masks, from the network's own state."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import torch

from rtsep.bundle import Bundle
from rtsep.nn.frame_transformer import FrameTransformer
from rtsep.separation.backends import dense_kernels as dense
from rtsep.separation.backends.choose import load_stepper
from rtsep.separation.backends.frame_transformer import CompiledStepper
from rtsep.separation.processor import BrokenNetwork, Processor
from rtsep.timebase import HOP
from rtsep.train.evaluation.evaluate import sdr_db

STEMS = ("vocals", "drums", "bass")


def small(context: int = 9) -> FrameTransformer:
    """Every parameter random, so that nothing hides behind a zero; sizes that fill no vector register."""
    torch.manual_seed(3)
    network = FrameTransformer(
        STEMS, bins=128, widths=(6, 5, 7), width=96, heads=4, feed_forward=33, layers=(2, 1, 1), context=context
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval().requires_grad_(False)


def frames_of(network: FrameTransformer, count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (10 * random.random((network.channels, network.bins, count)) ** 4).astype(np.float32)


def compiled(network: FrameTransformer, max_chunk: int) -> CompiledStepper:
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    return CompiledStepper(weights, network.stems, max_chunk, network.context_frames)


@torch.inference_mode()
def eager(network: FrameTransformer, magnitudes: np.ndarray, state: object) -> np.ndarray:
    return network.step(torch.from_numpy(magnitudes)[None], state)[0].numpy()  # type: ignore[arg-type]


@pytest.mark.parametrize("context", [1, 9, 20])
def test_it_gives_the_masks_of_the_network_in_chunks_of_all_sizes(context: int) -> None:
    network = small(context)
    state, step = network.init_state(1, 32), compiled(network, 32).step
    for number, chunk in enumerate([1] * 60 + [2, 3, 7, 32, 1, 5, 4, 31] * 2):
        magnitudes = frames_of(network, chunk, number) * (0.0 if number in (0, 5, 6) else 1.0)
        magnitudes = magnitudes.astype(np.float32)
        np.testing.assert_allclose(step(magnitudes), eager(network, magnitudes, state), atol=1e-5)


def test_a_context_that_is_cut_is_that_of_the_network_too() -> None:
    network = small(20)
    network.context_frames = 3
    state, step = network.init_state(1, 4), compiled(network, 4).step
    for number in range(30):
        magnitudes = frames_of(network, 1 + number % 4, number)
        np.testing.assert_allclose(step(magnitudes), eager(network, magnitudes, state), atol=1e-5)


def test_it_forgets_and_goes_on_from_a_snapshot_as_the_network_does() -> None:
    network = small()
    stepper, state = compiled(network, 4), network.init_state(1, 4)
    kept = saved = None
    for number in range(40):
        if number == 13:
            kept, saved = stepper.snapshot(), state.snapshot()
        if number == 21:
            stepper.reset()
            state.reset()
        if number == 27:
            assert saved is not None
            stepper.restore(kept)
            state.restore(saved)
        if number == 30:
            assert stepper.snapshot(kept) is kept
            state.snapshot(saved)
        magnitudes = frames_of(network, 1 + number % 4, number)
        np.testing.assert_allclose(stepper.step(magnitudes), eager(network, magnitudes, state), atol=1e-4)


def test_weights_of_another_network_are_refused() -> None:
    weights = {name: tensor.numpy() for name, tensor in small().state_dict().items()}
    with pytest.raises(ValueError, match="shape"):
        CompiledStepper(weights, STEMS[:2], 4)
    with pytest.raises(ValueError, match="to_line.bias is missing"):
        CompiledStepper({name: array for name, array in weights.items() if name != "to_line.bias"}, STEMS, 4)
    with pytest.raises(ValueError, match="unexpected tensor extra"):
        CompiledStepper(weights | {"extra": np.zeros(3, np.float32)}, STEMS, 4)


def test_weights_of_any_wrong_size_are_refused() -> None:
    """The kernels look at no sizes: they would read what lies beyond."""
    weights = {name: tensor.numpy() for name, tensor in small().state_dict().items()}
    for name, array in weights.items():
        for axis in range(array.ndim):
            if axis == 0 and ("between_frames" in name or name.endswith("attention.bias")):
                continue  # as many taps and heads as there are
            for wrong in (np.take(array, [0], axis), np.concatenate([array] * 3, axis)):
                if wrong.shape != array.shape:
                    with pytest.raises(ValueError, match="shape|not those|missing|heads"):
                        CompiledStepper(weights | {name: wrong}, STEMS, 4)


def test_wrong_shapes_are_refused() -> None:
    network = small()
    step = compiled(network, 4).step
    for shape in ((2, 128, 5), (1, 128, 1), (2, 64, 1), (2, 128, 0)):
        with pytest.raises(ValueError, match="expected magnitudes"):
            step(np.zeros(shape, np.float32))


def test_values_that_are_not_numbers_show() -> None:
    network = small()
    for poisoned in (network.top.layers[0].contract.bias, network.bottleneck.layers[1].attention.bias):
        kept = poisoned.clone()
        poisoned.fill_(float("nan"))
        masks = compiled(network, 4).step(frames_of(network, 2))
        assert np.isnan(masks).any()
        poisoned.copy_(kept)


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (3, 17, 2), (4, 33, 3), (9, 64, 7), (66, 5, 16)])
def test_products_of_all_sizes(rows: int, inner: int, columns: int) -> None:
    random = np.random.default_rng(rows)
    x, weight = (random.standard_normal((n, inner)).astype(np.float32) for n in (rows, columns))
    out = np.ones((rows, columns), np.float32)
    dense.add_product(x, weight, out)
    np.testing.assert_allclose(out, 1 + x @ weight.T, rtol=1e-4, atol=1e-4)


def test_the_exponential_is_that_of_the_library_within_the_range_of_a_gate() -> None:
    x = np.linspace(-80, 80, 3999, dtype=np.float32).reshape(3, -1).copy()
    expected = x / (1 + np.exp(-x.astype(np.float64)))
    dense.silu(x)
    np.testing.assert_allclose(x, expected, rtol=2e-6, atol=1e-30)


def separated(bundle: Path, mixture: np.ndarray, chunk: int, compiled: bool) -> np.ndarray:
    stepper = load_stepper(Bundle(bundle), "cpu", chunk, compiled=compiled)
    assert stepper.way == ("compiled" if compiled else "eager")
    processor = Processor(stepper)
    out = np.empty((2, 2, mixture.shape[1]), np.float32)
    for start in range(0, mixture.shape[1], chunk * HOP):
        part = slice(start, start + chunk * HOP)
        processor.process(mixture[:, part], out[:, :, part])
    return out


@pytest.mark.parametrize("chunk", [1, 32])
def test_the_stems_of_the_bundled_song_are_those_of_the_eager_network(
    default_bundle: Path, song: Path, chunk: int
) -> None:
    start = 8 * 44100
    mixture = soundfile.read(song / "mixture.flac", dtype="float32", start=start, frames=224 * HOP)[0].T
    mixture = np.ascontiguousarray(mixture)
    expected = separated(default_bundle, mixture, chunk, compiled=False)
    for eager_stem, stem in zip(expected, separated(default_bundle, mixture, chunk, compiled=True), strict=True):
        assert sdr_db(eager_stem, stem) > 80  # 40 is asked for


@pytest.mark.parametrize(("chunk", "steps"), [(1, 600), (7, 40), (32, 10)])
def test_nothing_grows_over_many_hops_in_steps_of_any_size(default_bundle: Path, chunk: int, steps: int) -> None:
    processor = Processor(load_stepper(Bundle(default_bundle), "cpu", chunk))
    mixture = 0.1 * np.random.default_rng(0).standard_normal((2, 2 * chunk * HOP)).astype(np.float32)
    out = np.empty((2, 2, chunk * HOP), np.float32)

    def run(count: int) -> None:
        for step in range(count):
            start = step % 2 * chunk * HOP
            processor.process(mixture[:, start : start + chunk * HOP], out)

    run(256 // chunk + 1)  # past the end of every ring, whose pages are touched for the first time until then
    tracemalloc.start()
    try:
        run(6)  # tracemalloc's own first sight of every line
        before, rss = tracemalloc.get_traced_memory()[0], psutil.Process().memory_info().rss
        tracemalloc.reset_peak()
        run(steps)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2_000
    # Views and buffers of NumPy's own, and no array of the step's masks: those of a hop have 16 400 bytes.
    assert peak - before < 20_000 + 500 * chunk
    assert psutil.Process().memory_info().rss - rss < 2_000_000


def test_steps_of_all_sizes_share_their_memory() -> None:
    stepper = compiled(small(), 32)
    tracemalloc.start()
    try:
        stepper.step(frames_of(small(), 32))
        longest = tracemalloc.get_traced_memory()[0]
        for frames in range(1, 32):
            stepper.step(frames_of(small(), frames))
        every = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert every < 2 * longest


def test_a_network_that_breaks_and_is_reset_is_whole_again(default_bundle: Path) -> None:
    processor = Processor(load_stepper(Bundle(default_bundle), "cpu", 1))
    mixture = 0.1 * np.random.default_rng(0).standard_normal((2, HOP)).astype(np.float32)
    first, out = np.empty((2, 2, HOP), np.float32), np.empty((2, 2, HOP), np.float32)
    processor.process(mixture, first)
    with pytest.raises(BrokenNetwork):
        processor.process(np.full_like(mixture, np.nan), out)
    processor.reset()
    processor.process(mixture, out)
    np.testing.assert_array_equal(out, first)
