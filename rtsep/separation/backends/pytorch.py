"""Steps that PyTorch computes, on the CPU or a CUDA device; `rtsep.separation.backends.choose` chooses between these
and others.

eager       CPU; CUDA, a network whose steps are not all the same work
graph       CUDA, any other: PyTorch's kernels, captured once for each chunk size and replayed without Python
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from rtsep.errors import DeviceLost, RtsepError
from rtsep.nn.contract import State, StreamingNetwork
from rtsep.separation.backends.stepper import MAX_CHUNK, WARM_UP_STEPS, check_compute

Float32 = NDArray[np.float32]


def choose_compute(text: str = "auto") -> torch.device:
    """The device that `text` (auto, cpu, cuda, cuda:N) stands for; auto takes CUDA where there is one.

    Raises UsageError for another text, RtsepError if the CUDA device asked for is not there.
    """
    check_compute(text)
    if text == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if text == "cpu":
        return torch.device("cpu")
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(text.partition(":")[2] or 0)
    if index >= present:
        there = (
            "no CUDA device is" if present == 0 else f"only {present} CUDA device{'s are' if present > 1 else ' is'}"
        )
        raise RtsepError(f"--compute {text}: {there} available here; use --compute cpu")
    return torch.device("cuda", index)


def devices() -> list[str]:
    """All that `--compute` can name here."""
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]


class Stepper:
    """A network with its state, stepped with NumPy arrays.

    S stems, C channels, F bins that the network sees, K frames. On the CPU torch is set to `threads` for the whole
    process. While music plays that is ONE: a step is too small to share, and threads that wait for each other on busy
    cores made it twenty times slower.

    Args:
        network: in evaluation mode; moved to the device and frozen.
        device: from `choose_compute`.
        max_chunk: the most frames a step will get.
        threads: of torch on the CPU.

    Attributes:
        compute: the device, as `--compute` names it.
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
        self.max_chunk = max_chunk
        self.device, self.compute = device, str(device)
        if device.type == "cpu":
            torch.set_num_threads(threads)
        self._network = network.eval().requires_grad_(False).to(device)
        self._network.freeze()
        self._state = self._network.init_state(1, max_chunk)
        self._step = self._step_eagerly
        self.way = "eager"
        if device.type != "cpu" and network.capturable:
            self._graphs: dict[int, _CapturedStep] = {}
            self._step, self.way = self._replay, "graph"

    def step(self, magnitudes: Float32) -> Float32:
        """Masks (S, C, F + 1, K) for the frames that ended `lookahead_frames` ago.

        Args:
            magnitudes: contiguous (C, F, K), 1 <= K <= max_chunk.

        The result is valid until the next step. Raises DeviceLost when the device fails, a CPU never does.
        """
        return self._step(magnitudes)

    def reset(self) -> None:
        """Forget all frames."""
        with torch.inference_mode():
            self._state.reset()

    def snapshot(self, into: object | None = None) -> object:
        """What the network remembers, on its device, for `restore`.

        `into`: an earlier snapshot, to be overwritten; nothing is allocated then.
        """
        with torch.inference_mode():
            return self._state.snapshot(cast("list[torch.Tensor] | None", into))

    def restore(self, snapshot: object) -> None:
        """Go on from a snapshot of this stepper."""
        with torch.inference_mode():
            self._state.restore(cast("list[torch.Tensor]", snapshot))

    def _step_eagerly(self, magnitudes: Float32) -> Float32:
        with torch.inference_mode(), self._device_errors():
            masks = self._network.step(torch.from_numpy(magnitudes)[None].to(self.device), self._state)
            return masks[0].cpu().numpy()

    def _replay(self, magnitudes: Float32) -> Float32:
        frames = magnitudes.shape[-1]
        with torch.inference_mode(), self._device_errors():
            captured = self._graphs.get(frames)
            if captured is None:
                captured = _CapturedStep(self._network, self._state, magnitudes.shape, self.device)
                self._graphs[frames] = captured
            return captured(magnitudes)

    @contextmanager
    def _device_errors(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # CUDA's errors have no class of their own in every version
            if self.device.type == "cpu":
                raise
            raise DeviceLost(f"{self.device} failed: {str(error).splitlines()[0]}") from error


class _CapturedStep:
    """A step of one chunk size on a CUDA device: copy in, graph, copy out are queued at once, then waited for.

    Shapes are static and host memory is pinned, so the copies need no staging.
    """

    def __init__(self, network: StreamingNetwork, state: State, shape: tuple[int, ...], device: torch.device) -> None:
        self._device = device
        self._host_in = torch.empty(shape, pin_memory=True)
        self._device_in = torch.zeros((1, *shape), device=device)
        # Libraries choose algorithms and allocate in the first steps; a capture must find that done. The steps do
        # not count.
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
        # Dense and in the order that the device has it: the copy out is one block.
        self._host_out = torch.empty_like(self._device_out, device="cpu").pin_memory()

    def __call__(self, magnitudes: Float32) -> Float32:
        np.copyto(self._host_in.numpy(), magnitudes)
        self._device_in.copy_(self._host_in[None], non_blocking=True)
        self._graph.replay()
        self._host_out.copy_(self._device_out, non_blocking=True)
        torch.cuda.current_stream(self._device).synchronize()
        return self._host_out.numpy()
