"""Who computes a network's steps: what the engine asks of a stepper, and the choice of one.

PyTorch is not imported unless it is needed. Our own frame transformer goes without it on the CPU, and is ready a second
and a half sooner in half of the memory.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtsep.bundle import Bundle, build_network
from rtsep.engine.options import MAX_CHUNK, check_compute
from rtsep.errors import MissingWeights, RtsepError

Float32 = NDArray[np.float32]
WARM_UP_STEPS = 3
"""Steps before a stream opens: the first ones choose algorithms and allocate, and take many times as long."""


class FrameStepper(Protocol):
    """A network with its state, stepped with NumPy arrays: S stems, C channels, F bins that it sees, K frames.

    Attributes:
        compute: the device, as `--compute` names it.
        way: how: compiled, constant, eager or graph.
    """

    stems: tuple[str, ...]
    channels: int
    bins: int
    context_frames: int
    lookahead_frames: int
    max_chunk: int
    compute: str
    way: str

    def step(self, magnitudes: Float32) -> Float32:
        """Masks (S, C, F + 1, K) of the frames that ended `lookahead_frames` ago, valid until the next step.

        Args:
            magnitudes: contiguous (C, F, K), 1 <= K <= max_chunk.

        Raises DeviceLost when the device fails, a CPU never does.
        """
        ...

    def reset(self) -> None:
        """Forget all frames."""
        ...

    def snapshot(self, into: object | None = None) -> object:
        """What the network remembers, for `restore`. `into`: an earlier one, to be overwritten without allocating."""
        ...

    def restore(self, snapshot: object) -> None:
        """Go on from a snapshot of this stepper."""
        ...


def load_stepper(
    bundle: Bundle,
    compute: str = "auto",
    max_chunk: int = MAX_CHUNK,
    *,
    live: bool = False,
    own_shares: bool = False,
    threads: int = 1,
    compiled: bool = True,
) -> FrameStepper:
    """A stepper for a bundle.

    Args:
        compute: auto, cpu, cuda or cuda:N.
        max_chunk: the most frames a step will get.
        live: with the recipe's live settings rather than its author's.
        own_shares: masks are the estimates' own shares, as the Wiener filter wants them, if the network has a choice.
        threads: of PyTorch on the CPU, where it computes.
        compiled: take what needs no PyTorch, where there is such; False to measure what it wins.

    Raises RtsepError if the weights are missing, were changed or do not fit, or the device is not there.
    """
    check_compute(compute)
    recipe = bundle.recipe
    if compiled and not _on_cuda(compute):
        try:
            if recipe.network == "rtsep.nn.frame_transformer:FrameTransformer":
                # Not with this module: numba compiles it once, for seconds, and other networks do without.
                from rtsep.engine.frame_step import CompiledStep

                return CompiledStep(bundle.load_weights(), recipe.stems, max_chunk)
            if recipe.network == "rtsep.nn.constant:ConstantMask":
                from rtsep.engine.constant_step import ConstantStep

                channels, bins = recipe.stft.channels, recipe.stft.bins
                return ConstantStep(recipe.stems, channels=channels, bins=bins, max_chunk=max_chunk, **recipe.net)
        except (TypeError, ValueError) as error:
            raise RtsepError(f"{bundle.path} does not fit {recipe.network}: {error}") from error
    from rtsep.engine.compute import Stepper, choose_compute

    network = bundle.load_network(live=live)
    if own_shares:
        network.mask_exponent = 1.0
    return Stepper(network, choose_compute(compute), max_chunk, threads)


def stepper_to_measure(bundle: Bundle, compute: str, max_chunk: int) -> FrameStepper:
    """With the model's live settings, and random weights where its own are not here: what a step takes is the same.

    Otherwise as `load_stepper`.
    """
    try:
        return load_stepper(bundle, compute, max_chunk, live=True)
    except MissingWeights:
        from rtsep.engine.compute import Stepper, choose_compute

        return Stepper(build_network(bundle.recipe, live=True), choose_compute(compute), max_chunk)


def warm_up(stepper: FrameStepper, chunks: Iterable[int]) -> None:
    """Step noise through every chunk size that will be used, then reset: no later step is a first one."""
    random = np.random.default_rng(0)
    for frames in sorted(set(chunks)):
        noise = random.random((stepper.channels, stepper.bins, frames), dtype=np.float32)
        for _ in range(WARM_UP_STEPS):
            stepper.step(noise)
    stepper.reset()


def _on_cuda(compute: str) -> bool:
    """Whether `compute` comes to a CUDA device. Without a driver for one PyTorch need not be imported to tell."""
    if compute == "cpu":
        return False
    if compute == "auto":
        try:
            ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        except OSError:
            return False
    from rtsep.engine.compute import choose_compute

    return choose_compute(compute).type != "cpu"
