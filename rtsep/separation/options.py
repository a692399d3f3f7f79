"""What a user may ask of the engine, checked without importing torch: model, `--compute`, `--chunk`, `--latency`."""

from __future__ import annotations

from pathlib import Path

from rtsep.bundle import Bundle, find_bundle
from rtsep.errors import RtsepError, UsageError
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.timebase import LATENCY_HOPS_SAVED

FIRST_FRAMES = 16
"""Frames of the first step after a jump: those to be heard first, and as many before them as the time allows."""
MAX_CONTEXT_FRAMES = 192
"""The furthest a network that is played may look back. So much of the past, and a second, stays in the mixture ring,
beside the four seconds that the worker runs ahead."""
MAX_LOOKAHEAD_FRAMES = 92
"""The furthest a network that is played may look ahead: so much silence lies beyond the end of a song."""
PLAYED = {"sample_rate": (44100,), "n_fft": (4096, 2048), "hop": (1024,), "channels": (2,)}
"""What [stft] of a recipe may say: rings, windows and callback are made for it."""


def find_playable(model: str | Path | None = None) -> Bundle:
    """`find_bundle`, for separation: RtsepError also for a recipe whose [stft] the engine does not play."""
    bundle = find_bundle(model)
    for key, values in PLAYED.items():
        asked = getattr(bundle.recipe.stft, key)
        if asked not in values:
            played = " or ".join(map(str, values))
            raise RtsepError(f"{bundle.path}: [stft] {key} = {asked}, and only {played} can be played")
    return bundle


def check_context(frames: int) -> int:
    """`frames` if a network that looks back this far can be played; RtsepError otherwise."""
    if frames > MAX_CONTEXT_FRAMES:
        raise RtsepError(
            f"the network looks {frames} frames back, and only {MAX_CONTEXT_FRAMES} can be played; "
            "rtsep play --ahead and rtsep separate have no such limit"
        )
    return frames


def check_lookahead(frames: int) -> int:
    """`frames` if a network that looks ahead this far can be played; RtsepError otherwise."""
    if frames > MAX_LOOKAHEAD_FRAMES:
        raise RtsepError(
            f"the network looks {frames} frames ahead, and only {MAX_LOOKAHEAD_FRAMES} can be played: give its recipe "
            "[live] settings; rtsep play --ahead and rtsep separate have no such limit"
        )
    return frames


def check_chunk(chunk: int | None) -> int | None:
    """`chunk` if it is None (auto) or 1 to 32; UsageError otherwise."""
    if chunk is not None and not 1 <= chunk <= MAX_CHUNK:
        raise UsageError(f"--chunk {chunk}: expected 1 to {MAX_CHUNK}")
    return chunk


def check_block(block: int) -> int:
    """`block` if devices may be asked for that many samples at once, 32 to 4096; UsageError otherwise."""
    if not 32 <= block <= 4096:
        raise UsageError(f"--block {block}: expected samples, 32 to 4096")
    return block


def check_latency(text: str) -> str:
    """`text` if it is standard, medium or low; UsageError otherwise."""
    if text not in LATENCY_HOPS_SAVED:
        raise UsageError(f"--latency {text}: expected standard, medium or low")
    return text
