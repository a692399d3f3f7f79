"""Tempo and pitch of crops changed by the FFT: what is band-limited stays so, and rows share one inverse transform."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

SPARE = 256
"""Samples made at both ends that are thrown away: the transform takes the end for the neighbour of the start."""
LARGEST_PRIME = 11
LARGEST_SIZE = 1 << 25


@lru_cache(maxsize=1)
def _fast_sizes() -> list[int]:
    """Even sizes whose transform is fast on every device: products of primes up to LARGEST_PRIME."""
    sizes = [2]
    for prime in (2, 3, 5, 7, LARGEST_PRIME):
        powers = list(sizes)
        while powers := [size * prime for size in powers if size * prime <= LARGEST_SIZE]:
            sizes += powers
    return sorted(sizes)


def fast_size(samples: int) -> int:
    """The next size from `samples` up whose transform is fast. Raises ValueError beyond LARGEST_SIZE."""
    sizes = _fast_sizes()
    if samples > LARGEST_SIZE:
        raise ValueError(f"{samples} samples are more than {LARGEST_SIZE}: shorten the recipe's crops (frames)")
    return sizes[bisect_left(sizes, samples)]


def played_samples(samples: int, speed: float) -> int:
    """Samples that `change_speed` needs for `samples` of output: a fast size, for a speed within 0.5 % of this one."""
    if speed == 1.0:
        return samples
    sizes, wanted = _fast_sizes(), fast_size(samples + 2 * SPARE) * speed
    after = bisect_left(sizes, wanted)
    return min(sizes[max(after - 1, 0) : after + 1], key=lambda size: abs(size - wanted))


def change_speed(pieces: Sequence[Tensor], speeds: Sequence[float], samples: int) -> Tensor:
    """Change tempo and pitch of pieces (S, 2, `played_samples`) by their speeds: (R, S, 2, samples)."""
    if all(speed == 1.0 for speed in speeds):
        return torch.stack(list(pieces))
    made = fast_size(samples + 2 * SPARE)
    played = [played_samples(samples, speed) for speed in speeds]
    shape, device = pieces[0].shape[:2], pieces[0].device
    spectrum = torch.zeros(len(pieces), *shape, made // 2 + 1, dtype=torch.complex64, device=device)
    for row, piece, size in zip(spectrum, pieces, played, strict=True):
        bins = min(made, size) // 2
        row[..., :bins] = torch.fft.rfft(_faded(piece))[..., :bins]
        row *= made / size
    result = torch.fft.irfft(spectrum, made)[..., SPARE : SPARE + samples]
    for row, piece, speed in zip(result, pieces, speeds, strict=True):
        if speed == 1.0:
            row.copy_(piece)
    return result.contiguous()


def _faded(piece: Tensor) -> Tensor:
    """A piece with short fades at both ends."""
    ramp = torch.linspace(0, 1, SPARE // 2, device=piece.device)
    faded = piece.clone()
    faded[..., : SPARE // 2] *= ramp
    faded[..., -(SPARE // 2) :] *= ramp.flip(0)
    return faded
