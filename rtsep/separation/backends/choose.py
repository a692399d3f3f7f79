"""The choice of what computes a network's steps.

PyTorch is not imported unless it is needed. Our own frame transformer goes without it on the CPU, and is ready a second
and a half sooner in half of the memory.
"""

from __future__ import annotations

import ctypes
import sys

from rtsep.bundle import Bundle, build_network
from rtsep.errors import MissingWeights, RtsepError
from rtsep.separation.backends.stepper import MAX_CHUNK, FrameStepper, check_compute


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
                from rtsep.separation.backends.frame_transformer import CompiledStep

                return CompiledStep(bundle.load_weights(), recipe.stems, max_chunk)
            if recipe.network == "rtsep.nn.constant:ConstantMask":
                from rtsep.separation.backends.constant import ConstantStep

                channels, bins = recipe.stft.channels, recipe.stft.bins
                return ConstantStep(recipe.stems, channels=channels, bins=bins, max_chunk=max_chunk, **recipe.net)
        except (TypeError, ValueError) as error:
            raise RtsepError(f"{bundle.path} does not fit {recipe.network}: {error}") from error
    from rtsep.separation.backends.pytorch import Stepper, choose_compute

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
        from rtsep.separation.backends.pytorch import Stepper, choose_compute

        return Stepper(build_network(bundle.recipe, live=True), choose_compute(compute), max_chunk)


def _on_cuda(compute: str) -> bool:
    """Whether `compute` comes to a CUDA device. Without a driver for one PyTorch need not be imported to tell."""
    if compute == "cpu":
        return False
    if compute == "auto":
        try:
            ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        except OSError:
            return False
    from rtsep.separation.backends.pytorch import choose_compute

    return choose_compute(compute).type != "cpu"
