"""The interface of what computes a network's steps; needs no PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, Self

from rtsep.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]

MAX_CHUNK = 32
"""The most frames a network takes in one step."""
WARM_UP_STEPS = 3
"""Steps before a stream opens: the first ones choose algorithms and allocate, which takes many times as long."""


class Interrupted(Exception):
    """A step was broken off; only a reset may follow."""


class FrameStepper(Protocol):
    """A network with the state of one stream, stepped with NumPy arrays: S stems, C channels, F input bins, K frames.

    Attributes:
        compute: the device, as `--compute` names it.
        scaled_by_peak: see `rtsep.nn.contract.StreamingNetwork`.
        way: compiled, constant, eager or graph; see `rtsep.separation.backends`.
        stride: masks are computed for so many frames at once, see `rtsep.nn.contract.StreamingNetwork`.
    """

    stems: tuple[str, ...]
    channels: int
    bins: int
    context_frames: int
    lookahead_frames: int
    max_chunk: int
    scaled_by_peak: bool
    compute: str
    way: str
    stride: int

    def step(self, magnitudes: Float32) -> Float32:
        """Masks (S, C, F + 1, K) of the frames that ended `lookahead_frames` ago, valid until the next step.

        Args:
            magnitudes: contiguous (C, F, K), 1 <= K <= max_chunk.

        Raises DeviceLost when the device fails, a CPU never does.
        """
        ...

    def hear(self, magnitudes: Float32) -> None:
        """`step` for frames whose masks nobody wants; the next step begins a stride."""
        ...

    def interrupt_when(self, condition: Callable[[], bool]) -> None:
        """Raise `Interrupted` soon from a step in which `condition` becomes true, if steps take long."""
        ...

    def new_stream(self) -> Self:
        """A stepper with the same weights, not copied, and a state of its own."""
        ...

    def reset(self) -> None:
        """Forget all frames."""
        ...

    def expect_peak(self, peak: float) -> None:
        """Of a `scaled_by_peak` network: reset, and scale by at least this magnitude after every reset; 0: forget it.

        Raises ValueError for another network.
        """
        ...

    def snapshot(self, into: object | None = None) -> object:
        """A copy of the state, for `restore`. `into`: an earlier one, to be overwritten without allocating."""
        ...

    def restore(self, snapshot: object) -> None:
        """Continue from a snapshot of this stepper."""
        ...


def warm_up(stepper: FrameStepper, chunks: Iterable[int]) -> None:
    """Step noise through every chunk size that will be used, then reset: no later step is a first one."""
    import numpy as np  # not above: the command line reads MAX_CHUNK, and `--help` is to appear at once

    random = np.random.default_rng(0)
    for frames in sorted(set(chunks)):
        noise = random.random((stepper.channels, stepper.bins, frames), dtype=np.float32)
        for _ in range(WARM_UP_STEPS):
            stepper.step(noise)
    stepper.reset()


def check_compute(text: str) -> str:
    """`text` if it is auto, cpu, cuda or cuda:N; ArgumentError otherwise. Whether it is there only PyTorch knows."""
    if re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", text) is None:
        raise ArgumentError("device", text, "auto, cpu, cuda or cuda:N")
    return text
