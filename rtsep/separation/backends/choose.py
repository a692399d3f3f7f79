"""The choice of the backend that computes a network's steps.

PyTorch is imported only where it is needed. The frame transformer runs without it on the CPU: it is ready a second and
a half sooner, in half the memory, and PyTorch need not be installed.
"""

from __future__ import annotations

import ctypes
import sys

from rtsep.bundle import Bundle, build_network
from rtsep.errors import MissingWeights, RtsepError, has_torch, require_torch
from rtsep.separation.backends.stepper import MAX_CHUNK, FrameStepper, check_compute

FRAME_TRANSFORMER, CONSTANT = "rtsep.nn.frame_transformer:FrameTransformer", "rtsep.nn.constant:ConstantMask"
COMPILED = (FRAME_TRANSFORMER, CONSTANT)
"""Networks that run without PyTorch on the CPU."""


def load_stepper(
    bundle: Bundle,
    compute: str = "auto",
    max_chunk: int = MAX_CHUNK,
    *,
    live: bool = False,
    latency: str = "standard",
    own_shares: bool = False,
    mask_extension: str | None = None,
    threads: int = 1,
    compiled: bool = True,
) -> FrameStepper:
    """A stepper for a bundle; of both networks where its recipe averages two.

    Args:
        compute: auto, cpu, cuda or cuda:N.
        max_chunk: the most frames in a step.
        live: with the recipe's live settings rather than its author's.
        latency: which of the live settings, see `rtsep.live_settings`.
        own_shares: masks are the estimates' own shares, as the Wiener filter wants them, if the network has a choice.
        mask_extension: octave, average or zeros, instead of the recipe's, for networks that have one.
        threads: CPU threads of PyTorch during a step.
        compiled: prefer a backend without PyTorch; False to compare with it.

    Raises RtsepError if the weights are missing, were changed or do not fit, or the device does not exist;
    MissingPackage if PyTorch is needed and not installed; UsageError for a mask extension if the network has none.
    """
    stepper = _load_own(bundle, compute, max_chunk, live, latency, own_shares, mask_extension, threads, compiled)
    return _averaged(bundle, stepper, compute, compiled)


def _load_own(
    bundle: Bundle,
    compute: str,
    max_chunk: int,
    live: bool,
    latency: str,
    own_shares: bool,
    mask_extension: str | None,
    threads: int,
    compiled: bool,
) -> FrameStepper:
    check_compute(compute)
    recipe = bundle.recipe
    if compiled and not on_cuda(compute):
        if mask_extension is not None and recipe.network in COMPILED:
            raise bundle.no_mask_extension()
        try:
            if recipe.network == FRAME_TRANSFORMER:
                # Imported here because numba compiles it once, for seconds, and other networks do not need it.
                from rtsep.separation.backends.frame_transformer import CompiledStepper

                return CompiledStepper(bundle.load_weights(), recipe.stems, max_chunk)
            if recipe.network == CONSTANT:
                from rtsep.separation.backends.constant import ConstantStepper

                channels, bins = recipe.stft.channels, recipe.stft.bins
                return ConstantStepper(recipe.stems, channels=channels, bins=bins, max_chunk=max_chunk, **recipe.net)
        except (TypeError, ValueError) as error:
            raise RtsepError(f"{bundle.path} does not fit {recipe.network}: {error}") from error
    require_torch(bundle.name)
    from rtsep.separation.backends.pytorch import TorchStepper, choose_compute

    network = bundle.load_network(live=live, latency=latency, mask_extension=mask_extension)
    if own_shares:
        network.mask_exponent = 1.0
    return TorchStepper(network, choose_compute(compute), max_chunk, threads)


def _averaged(bundle: Bundle, stepper: FrameStepper, compute: str, compiled: bool = True) -> FrameStepper:
    """`stepper` of the bundle's own network, together with the one that its recipe averages it with."""
    average, other = bundle.recipe.average, bundle.averaged_with
    if average is None or other is None:
        return stepper
    if other.recipe.average is not None:
        raise RtsepError(
            f"{bundle.path}: [average] model = {average.model!r}, which is an average itself: name another"
        )
    from rtsep.separation.backends.averaged import AveragedStepper

    try:
        return AveragedStepper(
            stepper, load_stepper(other, compute, stepper.max_chunk, compiled=compiled), average.share
        )
    except ValueError as error:
        raise RtsepError(f"{bundle.path}: [average] model = {average.model!r}: {error}") from error


def stepper_to_measure(bundle: Bundle, compute: str, max_chunk: int, latency: str = "standard") -> FrameStepper:
    """`load_stepper` with the model's live settings, for measuring time: random weights do if its own are missing.

    Raises as `load_stepper`, but for missing weights.
    """
    try:
        return load_stepper(bundle, compute, max_chunk, live=True, latency=latency)
    except MissingWeights:
        from rtsep.separation.backends.pytorch import TorchStepper, choose_compute

        network = build_network(bundle.recipe, live=True, latency=latency)
        return _averaged(bundle, TorchStepper(network, choose_compute(compute), max_chunk), compute)


def computing_devices() -> list[str]:
    """The devices on which every network runs here: cpu, and cuda:N for those that PyTorch can use."""
    if not has_torch():
        return ["cpu"]
    import torch

    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]


def on_cuda(compute: str) -> bool:
    """Whether `compute` means a CUDA device. PyTorch is imported only if the driver of one is installed."""
    if compute == "cpu":
        return False
    if compute == "auto":
        if not has_torch():
            return False
        try:
            ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        except OSError:
            return False
    require_torch(f"device {compute!r}")
    from rtsep.separation.backends.pytorch import choose_compute

    return choose_compute(compute).type != "cpu"
