"""Where a network's steps are computed: one CPU thread, or a CUDA device. The engine's only file with torch in it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from rtsep.engine.options import MAX_CHUNK, check_compute
from rtsep.errors import RtsepError
from rtsep.nn.contract import StreamingNetwork

Float32 = NDArray[np.float32]
WARM_UP_STEPS = 3
"""Steps before a stream opens: the first ones choose algorithms and allocate, and take many times as long."""


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


class Stepper:
    """A network with its state, stepped with NumPy arrays.

    S stems, C channels, F bins that the network sees, K frames. On the CPU torch is set to ONE thread for
    the whole process: a step is too small to share, and threads that wait for each other on busy cores made
    it twenty times slower.

    Args:
        network: in evaluation mode; moved to the device.
        device: from `choose_compute`.
        max_chunk: the most frames a step will get.
    """

    def __init__(self, network: StreamingNetwork, device: torch.device, max_chunk: int = MAX_CHUNK) -> None:
        self.stems = network.stems
        self.channels = network.channels
        self.bins = network.bins
        self.context_frames = network.context_frames
        self.lookahead_frames = network.lookahead_frames
        self.max_chunk = max_chunk
        self.device = device
        if device.type == "cpu":
            torch.set_num_threads(1)
        self._network = network.eval().to(device)
        self._state = self._network.init_state(1, max_chunk)
        self._masks_shape = (len(network.stems), network.channels, network.mask_rows)
        self._buffers: dict[int, _CudaBuffers] = {}

    def step(self, magnitudes: Float32) -> Float32:
        """Masks (S, C, F + 1, K) for the frames that ended `lookahead_frames` ago.

        Args:
            magnitudes: contiguous (C, F, K), 1 <= K <= max_chunk.

        The result is valid until the next step.
        """
        with torch.inference_mode():
            if self.device.type == "cpu":
                return self._network.step(torch.from_numpy(magnitudes)[None], self._state)[0].numpy()
            return self._step_on_device(magnitudes)

    def reset(self) -> None:
        """Forget all frames."""
        with torch.inference_mode():
            self._state.reset()

    def warm_up(self, chunks: Iterable[int]) -> None:
        """Step noise through every chunk size that will be used, then reset: no later step is a first one."""
        random = np.random.default_rng(0)
        for frames in sorted(set(chunks)):
            noise = random.random((self.channels, self.bins, frames), dtype=np.float32)
            for _ in range(WARM_UP_STEPS):
                self.step(noise)
        self.reset()

    def _step_on_device(self, magnitudes: Float32) -> Float32:
        frames = magnitudes.shape[-1]
        buffers = self._buffers.get(frames)
        if buffers is None:
            # One set a chunk size: shapes stay static, and copies to and from pinned memory need no staging.
            buffers = self._buffers[frames] = _CudaBuffers(magnitudes.shape, (*self._masks_shape, frames), self.device)
        buffers.host_in.numpy()[:] = magnitudes
        buffers.device_in.copy_(buffers.host_in[None], non_blocking=True)
        buffers.host_out.copy_(self._network.step(buffers.device_in, self._state)[0], non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()
        return buffers.host_out.numpy()


class _CudaBuffers:
    def __init__(self, shape_in: tuple[int, ...], shape_out: tuple[int, ...], device: torch.device) -> None:
        self.host_in = torch.empty(shape_in, pin_memory=True)
        self.device_in = torch.empty((1, *shape_in), device=device)
        self.host_out = torch.empty(shape_out, pin_memory=True)
