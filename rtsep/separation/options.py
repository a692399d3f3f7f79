"""The options of separation and their limits, checked before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rtsep.bundle import Bundle, find_bundle
from rtsep.errors import ArgumentError, RtsepError
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.timebase import HOP, LATENCY_HOPS_SAVED, N_FFT, SAMPLE_RATE

FIRST_FRAMES = 16
"""Frames of the first step after a seek: those that sound first, and as many before them as the time allows."""
MAX_CONTEXT_FRAMES = 192
"""The longest context that can be played. The mixture ring keeps this much of the past, and a second more, beside the
four seconds that the worker runs ahead."""
MAX_LOOKAHEAD_FRAMES = 92
"""The longest lookahead that can be played: this much silence follows the end of a song."""
PLAYED = {"sample_rate": (SAMPLE_RATE,), "n_fft": (N_FFT, 2048), "hop": (HOP,), "channels": (2,)}
"""The values of a recipe's [stft] that rings, windows and callback are made for."""


def find_playable(model: str | Path | None = None) -> Bundle:
    """`find_bundle`, for separation: RtsepError also for a recipe whose [stft] is not supported."""
    bundle = find_bundle(model)
    for key, values in PLAYED.items():
        asked = getattr(bundle.recipe.stft, key)
        if asked not in values:
            played = " or ".join(map(str, values))
            raise RtsepError(f"{bundle.path}: [stft] {key} = {asked}: expected {played}")
    return bundle


def check_context(frames: int) -> int:
    """`frames` if a network with this context can be played; RtsepError otherwise."""
    if frames > MAX_CONTEXT_FRAMES:
        raise RtsepError(
            f"the network's context is {frames} frames: at most {MAX_CONTEXT_FRAMES} can be played live; "
            "use rtsep play --ahead or rtsep separate, which have no limit"
        )
    return frames


def check_lookahead(frames: int) -> int:
    """`frames` if a network with this lookahead can be played; RtsepError otherwise."""
    if frames > MAX_LOOKAHEAD_FRAMES:
        raise RtsepError(
            f"the network's lookahead is {frames} frames: at most {MAX_LOOKAHEAD_FRAMES} can be played live; give its "
            "recipe [live] settings, or use rtsep play --ahead or rtsep separate, which have no limit"
        )
    return frames


def check_chunk(chunk: int | None) -> int | None:
    """`chunk` if it is None (auto) or 1 to 32; ArgumentError otherwise."""
    if chunk is not None and not (isinstance(chunk, int) and 1 <= chunk <= MAX_CHUNK):
        raise ArgumentError("chunk", chunk, f"1 to {MAX_CHUNK} frames")
    return chunk


def check_block(block: int) -> int:
    """`block` if it is a block size for devices, 32 to 4096 samples; ArgumentError otherwise."""
    if not 32 <= block <= 4096:
        raise ArgumentError("block", block, "32 to 4096 samples")
    return block


def check_latency(mode: str) -> str:
    """`mode` if it is a mode of the synthesis, standard, medium or low; ArgumentError otherwise."""
    if mode not in LATENCY_HOPS_SAVED:
        raise ArgumentError("latency", mode, "standard, medium or low")
    return mode


def check_tta(tta: str | None) -> Literal["shifted", "sliding"] | None:
    """`tta` if it is None, shifted or sliding; ArgumentError otherwise."""
    if tta is None or tta in ("shifted", "sliding"):
        return tta
    raise ArgumentError("tta", tta, "shifted or sliding")


def check_mask_extension(extension: str | None) -> str | None:
    """`extension` if it is None (the recipe's), octave, average or zeros; ArgumentError otherwise."""
    if extension not in (None, "octave", "average", "zeros"):
        raise ArgumentError("mask_extension", extension, "octave, average or zeros")
    return extension


def check_threads(threads: int | None) -> int | None:
    """`threads` if it is None or a number of threads; ArgumentError otherwise."""
    if threads is not None and not (isinstance(threads, int) and threads >= 1):
        raise ArgumentError("threads", threads, "1 or more")
    return threads
