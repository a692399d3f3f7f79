"""Where steps are computed, and that a device computes what the CPU does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtsep.errors import RtsepError, UsageError
from rtsep.nn.constant import ConstantMask
from rtsep.nn.contract import State
from rtsep.nn.frame_transformer import FrameTransformer
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from rtsep.separation.backends.stepper import check_compute, warm_up
from rtsep.separation.options import check_chunk

HAS_CUDA = torch.cuda.is_available()


class Threads(ConstantMask):
    """Notes how many threads PyTorch has during a step."""

    def step(self, magnitudes: torch.Tensor, state: State) -> torch.Tensor:
        self.threads = torch.get_num_threads()
        return super().step(magnitudes, state)


def test_a_step_uses_its_own_threads_and_leaves_pytorchs_setting_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for threads in (1, 2):
            network = Threads(["vocals"], [1.0])
            stepper = TorchStepper(network, choose_compute("cpu"), threads=threads)
            warm_up(stepper, [1])
            assert network.threads == threads
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("text", ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "CPU", "cuda:1234"])
def test_other_words_are_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="auto, cpu, cuda or cuda:N"):
        choose_compute(text)
    with pytest.raises(UsageError, match="auto, cpu, cuda or cuda:N"):
        check_compute(text)


@pytest.mark.parametrize("chunk", [0, -1, 33])
def test_chunks_have_limits(chunk: int) -> None:
    with pytest.raises(UsageError, match="1 to 32"):
        check_chunk(chunk)


def test_a_device_that_is_not_there_is_one_line() -> None:
    with pytest.raises(RtsepError, match="cuda:99 not found") as caught:
        choose_compute("cuda:99")
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(HAS_CUDA, reason="there is a CUDA device here")
def test_auto_is_the_cpu_without_cuda() -> None:
    assert choose_compute("auto").type == "cpu"
    with pytest.raises(RtsepError, match="no CUDA device"):
        choose_compute("cuda")


def test_steps_reset_and_warm_up() -> None:
    """After a warm-up the state is that of a fresh stepper; shapes are the contract's."""
    torch.manual_seed(1)
    network = FrameTransformer(stems=["vocals", "instrumental"], widths=(8, 8, 8), layers=(1, 1, 1))
    noise = np.random.default_rng(1).random((2, 1024, 5), dtype=np.float32)
    stepper = TorchStepper(network, choose_compute("cpu"), 8)
    first = stepper.step(noise).copy()
    assert first.shape == (2, 2, 1025, 5)
    np.testing.assert_allclose(first.sum(axis=0), 1.0, atol=1e-5)
    second = stepper.step(noise).copy()
    assert np.abs(first - second).max() > 1e-6  # it remembers
    warm_up(stepper, [1, 5])
    np.testing.assert_array_equal(stepper.step(noise), first)


def test_a_snapshot_goes_on_to_the_bit_and_can_be_taken_again_in_place() -> None:
    torch.manual_seed(1)
    network = FrameTransformer(stems=["vocals", "instrumental"], widths=(8, 8, 8), layers=(1, 1, 1))
    noise = np.random.default_rng(1).random((2, 1024, 3), dtype=np.float32)
    stepper = TorchStepper(network, choose_compute("cpu"), 4)
    assert stepper.way == "eager"
    stepper.step(noise)
    kept = stepper.snapshot()
    second = stepper.step(noise).copy()
    third = stepper.step(noise).copy()
    stepper.restore(kept)
    np.testing.assert_array_equal(stepper.step(noise), second)
    assert stepper.snapshot(into=kept) is kept
    stepper.reset()
    stepper.step(3 * noise)
    stepper.restore(kept)
    np.testing.assert_array_equal(stepper.step(noise), third)


@pytest.mark.cuda
@pytest.mark.skipif(not HAS_CUDA, reason="no CUDA device here: a captured step not tested")
def test_a_captured_step_is_the_eager_one_over_500_hops_a_reset_and_a_restore() -> None:
    torch.manual_seed(1)
    network = FrameTransformer(stems=["vocals", "instrumental"]).eval().requires_grad_(False).cuda()
    state = network.init_state(1, 4)
    stepper = TorchStepper(network, choose_compute("cuda"), 4)
    assert stepper.way == "graph"
    random = np.random.default_rng(1)
    kept = saved = None
    for hop in range(500):
        if hop == 200:
            stepper.reset()
            state.reset()
        if hop == 300:
            kept, saved = stepper.snapshot(), state.snapshot()
        if hop == 400:
            assert kept is not None and saved is not None
            stepper.restore(kept)
            state.restore(saved)
        noise = 20 * random.random((2, 1024, 1 + hop % 4), dtype=np.float32) ** 4
        with torch.inference_mode():
            expected = network.step(torch.from_numpy(noise)[None].cuda(), state)[0].cpu().numpy()
        np.testing.assert_allclose(stepper.step(noise), expected, atol=1e-5)


@pytest.mark.cuda
@pytest.mark.skipif(not HAS_CUDA, reason="no CUDA device here: parity with the CPU not tested")
def test_cuda_gives_what_the_cpu_gives() -> None:
    torch.manual_seed(1)
    network = FrameTransformer(stems=["vocals", "instrumental"])
    random = np.random.default_rng(1)
    chunks = [4, 4, 32, 1, 7, 32, 32, 32, 32, 32, 32, 1]
    frames = [random.random((2, 1024, chunk), dtype=np.float32) for chunk in chunks]
    on_cpu = TorchStepper(network, choose_compute("cpu"), 32)
    expected = [on_cpu.step(magnitudes).copy() for magnitudes in frames]
    on_cuda = TorchStepper(network, choose_compute("cuda"), 32)
    warm_up(on_cuda, chunks)
    allocated = torch.cuda.memory_stats()["num_alloc_retries"]
    for magnitudes, masks in zip(frames, expected, strict=True):
        np.testing.assert_allclose(on_cuda.step(magnitudes), masks, atol=2e-3)
    assert torch.cuda.memory_stats()["num_alloc_retries"] == allocated
