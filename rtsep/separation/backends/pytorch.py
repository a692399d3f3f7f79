"""Steps that PyTorch computes, on the CPU or a CUDA device; `rtsep.separation.backends.choose` chooses the backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from rtsep.errors import DeviceLost, RtsepError
from rtsep.nn.contract import State, StreamingNetwork
from rtsep.separation.backends.stepper import MAX_CHUNK, WARM_UP_STEPS, Interrupted, check_compute

Float32 = NDArray[np.float32]


def choose_compute(text: str = "auto") -> torch.device:
    """The device that `text` (auto, cpu, cuda, cuda:N) stands for; auto is CUDA where there is a CUDA device.

    Raises ArgumentError for another text, RtsepError if the CUDA device does not exist.
    """
    check_compute(text)
    if text == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if text == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(text.partition(":")[2] or 0)
    if index >= count:
        found = f"this machine has {count or 'no'} CUDA device{'s' if count > 1 else ''}"
        raise RtsepError(f"{text} not found: {found} that PyTorch can use; use cpu or auto")
    return torch.device("cuda", index)


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """PyTorch computes on `count` CPU threads inside, and on as many as before afterwards."""
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class TorchStepper:
    """A network with the state of one stream, stepped with NumPy arrays.

    S stems, C channels, F input bins, K frames.

    Args:
        network: in evaluation mode; moved to the device and frozen.
        device: from `choose_compute`.
        max_chunk: the most frames in a step.
        threads: of PyTorch during a step, on the CPU. While music plays that is ONE: a step is too small to share, and
            threads that wait for each other on busy cores made it twenty times slower.

    Attributes:
        compute: the device's name.
        way: eager or graph.
    """

    def __init__(
        self,
        network: StreamingNetwork,
        device: torch.device,
        max_chunk: int = MAX_CHUNK,
        threads: int = 1,
    ) -> None:
        self.stems = network.stems
        self.channels = network.channels
        self.bins = network.bins
        self.context_frames = network.context_frames
        self.lookahead_frames = network.lookahead_frames
        self.stride = network.stride
        self.max_chunk = max_chunk
        self.scaled_by_peak = network.scaled_by_peak
        self._peak = 0.0
        self.device, self.compute = device, str(device)
        self._threads = threads
        self._network = network.eval().requires_grad_(False).to(device)
        self._network.freeze()
        self._state = self._network.init_state(1, max_chunk)
        self._step = self._step_eagerly
        self.way = "eager"
        if device.type != "cpu" and network.capturable:
            self._graphs: dict[int, _CapturedStep] = {}
            self._step, self.way = self._replay, "graph"

    def new_stream(self) -> TorchStepper:
        """A stepper of the same network with a state of its own."""
        return TorchStepper(self._network, self.device, self.max_chunk, self._threads)

    def step(self, magnitudes: Float32) -> Float32:
        """Masks (S, C, F + 1, K) for the frames that ended `lookahead_frames` ago.

        Args:
            magnitudes: contiguous (C, F, K), 1 <= K <= max_chunk.

        The result is valid until the next step. Raises DeviceLost when a CUDA device fails.
        """
        with self._computing():
            return self._step(magnitudes)

    def hear(self, magnitudes: Float32) -> None:
        """`step` for frames whose masks nobody wants; the next step begins a stride."""
        with self._computing():
            self._network.hear(torch.from_numpy(magnitudes)[None].to(self.device), self._state)

    def interrupt_when(self, condition: Callable[[], bool]) -> None:
        """Raise `Interrupted` from a step in which `condition` becomes true, between two layers of the network."""

        def look(*_: object) -> None:
            if condition():
                raise Interrupted

        for module in self._network.modules():
            if next(module.children(), None) is None:
                module.register_forward_pre_hook(look)

    def reset(self) -> None:
        """Forget all frames."""
        with self._computing():
            self._state.reset()
            if self._peak:
                self._network.expect_peak(self._peak, self._state)

    def expect_peak(self, peak: float) -> None:
        """As of a `FrameStepper`."""
        self._peak = peak
        self.reset()

    def snapshot(self, into: object | None = None) -> object:
        """A copy of the state, on its device, for `restore`.

        `into`: an earlier snapshot, to be overwritten without allocating.
        """
        with self._computing():
            return self._state.snapshot(cast("list[torch.Tensor] | None", into))

    def restore(self, snapshot: object) -> None:
        """Continue from a snapshot of this stepper."""
        with self._computing():
            self._state.restore(cast("list[torch.Tensor]", snapshot))

    def _step_eagerly(self, magnitudes: Float32) -> Float32:
        masks = self._network.step(torch.from_numpy(magnitudes)[None].to(self.device), self._state)
        return masks[0].cpu().numpy()

    def _replay(self, magnitudes: Float32) -> Float32:
        frames = magnitudes.shape[-1]
        captured = self._graphs.get(frames)
        if captured is None:
            captured = _CapturedStep(self._network, self._state, magnitudes.shape, self.device)
            self._graphs[frames] = captured
        return captured(magnitudes)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Without gradients, on this stepper's threads; a failure of a CUDA device is DeviceLost."""
        with torch.inference_mode(), cpu_threads(self._threads):
            try:
                yield
            except RuntimeError as error:  # CUDA's errors have no class of their own in every version
                if self.device.type == "cpu":
                    raise
                raise DeviceLost(f"{self.device} failed: {str(error).splitlines()[0]}") from error


class _CapturedStep:
    """A step of one chunk size on a CUDA device: copy in, graph and copy out are queued at once, then waited for.

    Shapes are static and host memory is pinned, so that copies need no staging.
    """

    def __init__(self, network: StreamingNetwork, state: State, shape: tuple[int, ...], device: torch.device) -> None:
        self._device = device
        self._host_in = torch.empty(shape, pin_memory=True)
        self._device_in = torch.zeros((1, *shape), device=device)
        # Libraries choose algorithms and allocate in the first steps, which must be over before the capture. The state
        # is put back afterwards.
        before = state.snapshot()
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP_STEPS):
                network.step(self._device_in, state)
        torch.cuda.current_stream(device).wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.cuda.graph(self._graph):
            self._device_out = network.step(self._device_in, state)[0]
        state.restore(before)
        # Dense and in the device's memory order: the copy out is one block.
        self._host_out = torch.empty_like(self._device_out, device="cpu").pin_memory()

    def __call__(self, magnitudes: Float32) -> Float32:
        np.copyto(self._host_in.numpy(), magnitudes)
        self._device_in.copy_(self._host_in[None], non_blocking=True)
        self._graph.replay()
        self._host_out.copy_(self._device_out, non_blocking=True)
        torch.cuda.current_stream(self._device).synchronize()
        return self._host_out.numpy()
