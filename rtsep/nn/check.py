"""Check that a network obeys the streaming contract."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rtsep.nn.contract import State, StreamingNetwork

TOLERANCE = 1e-5
CHUNKS = (1, 2, 3, 7, 32)


def stepped(network: StreamingNetwork, magnitudes: Tensor, chunk: int, state: State) -> Tensor:
    """Masks of a recording with `chunk` frames per step, from the current state."""
    parts = magnitudes.split(chunk, dim=3)
    return torch.cat([network.step(part.contiguous(), state).clone() for part in parts], dim=4)


def _problems(network: StreamingNetwork) -> Iterator[str]:
    generator = torch.Generator().manual_seed(7)
    lookahead = network.lookahead_frames
    ring = network.context_frames + max(CHUNKS)  # the largest that a network may have
    longest = 20 * torch.rand(1, network.channels, network.bins, 2 * ring + lookahead + 5, generator=generator) ** 4
    for chunk in CHUNKS:
        # Past one wrap of the ring with every chunk, and past two with the largest, whose steps are the fewest.
        frames = (2 if chunk == max(CHUNKS) else 1) * ring + lookahead + 5
        magnitudes = longest[..., :frames]
        expected = (1, len(network.stems), network.channels, network.mask_rows, frames)
        whole = network.forward(magnitudes, chunk=chunk)
        if tuple(whole.shape) != expected:
            yield f"forward returns masks {tuple(whole.shape)}, expected {expected}"
            return
        if not torch.isfinite(whole).all():
            yield f"masks at chunk {chunk} are not finite"
            return
        state = network.init_state(1, max(CHUNKS))
        error = (
            (stepped(network, magnitudes, chunk, state)[..., lookahead:] - whole[..., : frames - lookahead]).abs().max()
        )
        if error > TOLERANCE:
            yield f"forward and step differ by {error:.1e} at chunk {chunk} (at most {TOLERANCE:.0e})"
        last = ((frames - lookahead) // 2 // chunk) * chunk - 1
        changed = magnitudes.clone()
        changed[..., last + 1 + lookahead :] *= 3.0
        difference = (network.forward(changed, chunk=chunk) - whole)[..., : last + 1].abs().max()
        if difference > TOLERANCE:
            yield f"a mask at chunk {chunk} changes by {difference:.1e} with frames beyond its chunk and lookahead"

    short = longest[..., :40]
    state = network.init_state(1, 8)
    first = stepped(network, short, 5, state)
    saved = state.snapshot()
    after = stepped(network, short, 3, state)
    state.restore(saved)
    if not torch.equal(stepped(network, short, 3, state), after):
        yield "a restored snapshot gives other masks than the original state"
    state.reset()
    if not torch.equal(stepped(network, short, 5, state), first):
        yield "masks after a reset differ from those of a new state"
    state.reset()
    if not torch.isfinite(stepped(network, torch.zeros_like(short), 1, state)).all():
        yield "masks of silence are not finite"


def check_network(network: StreamingNetwork) -> list[str]:
    """The violations of the contract, one line each. `network` must be in evaluation mode."""
    with torch.inference_mode():
        return list(_problems(network))
