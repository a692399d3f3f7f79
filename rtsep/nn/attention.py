"""Multiband frame attention over a sliding window of frames, with true relative positions.

Inside a chunk of K frames attention looks both ways, across chunks only back: query q sees key k if and only if
k // K <= q // K and -context < k - q < context, positions counted from the last reset. `Span` says which keys those are
and at which offset; it is made once a call and serves every layer.

Heads are bands of the token, as in carperbr's frame transformer (README of vocal-remover-frame-transformer), and every
query also asks the encoder's map of the same level (skip attention). Depthwise convolutions follow the projections as
in Primer (So et al. 2021, arXiv:2109.08668). A learned bias for each offset replaces the source's relative term, whose
code transposes where it should skew (Huang et al. 2018, arXiv:1809.04281, have the skew).

Dimensions: B batch, T frames, D width of a token, H heads (of both attentions together), E = D / heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.contract import State
from rtsep.nn.layers import CausalDepthwise


@dataclass(frozen=True)
class Span:
    """Queries [start, stop) see keys [first, last); `offsets` (queries, keys) indexes the bias table and its wall."""

    start: int
    stop: int
    first: int
    last: int
    offsets: Tensor


def offset_index(queries: Tensor, keys: Tensor, visible: Tensor, context: int, table_context: int) -> Tensor:
    """Column of the bias table for every (query, key) of positions; the wall's column where the key is out of sight."""
    back = queries[:, None] - keys[None, :]
    inside = visible & (back < context) & (back > -context)
    return torch.where(inside, back + (table_context - 1), 2 * table_context - 1)


def spans(frames: int, chunk: int, context: int, table_context: int, device: torch.device) -> list[Span]:
    """The banded attention of a whole recording as dense pieces, so that a song costs frames * context."""
    piece = max(context, 64)
    if frames <= 2 * piece:
        piece = frames
    result = []
    for start in range(0, frames, piece):
        stop = min(start + piece, frames)
        chunk_end = ((stop - 1) // chunk + 1) * chunk
        first, last = max(0, start - context + 1), min(frames, chunk_end, stop + context - 1)
        queries = torch.arange(start, stop, device=device)
        keys = torch.arange(first, last, device=device)
        visible = (keys // chunk)[None, :] <= (queries // chunk)[:, None]
        result.append(Span(start, stop, first, last, offset_index(queries, keys, visible, context, table_context)))
    return result


def ring_span(position: Tensor, steps: int, capacity: int, context: int, table_context: int) -> tuple[Span, Tensor]:
    """The span of a step of `steps` frames over a ring of keys, and the ring's slots that its frames take.

    `position` counts the frames before the step. A ring that held only `context` frames would lose keys that the first
    queries of a chunk still need; it holds context + max_chunk - 1.
    """
    device = position.device
    queries = position + torch.arange(steps, device=device)
    newest = position + (steps - 1)
    slots = torch.arange(capacity, device=device)
    keys = newest - torch.remainder(newest - slots, capacity)  # the last position written to each slot
    visible = (keys >= 0)[None, :].expand(steps, capacity)
    span = Span(0, steps, 0, capacity, offset_index(queries, keys, visible, context, table_context))
    return span, torch.remainder(queries, capacity)


@dataclass
class AttentionState(State):
    """Keys and values (B, H, capacity, E) in a ring, and the past of the depthwise convolution."""

    keys: Tensor
    values: Tensor
    past: Tensor


class FrameAttention(nn.Module):
    """Self-attention and skip attention side by side: (B, T, D) with memory (B, T, D) -> (B, T, D)."""

    TAPS = 3

    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.from_tokens = nn.Linear(width, 4 * width)  # both queries, and the keys and values of self-attention
        self.from_memory = nn.Linear(width, 2 * width)  # keys and values of skip attention
        self.between_frames = CausalDepthwise(6 * width, self.TAPS)
        self.out = nn.Linear(2 * width, width)
        distance = torch.arange(-(context - 1), context).abs() / context
        decay = torch.linspace(0.0, 8.0, heads).repeat(2)
        self.bias = nn.Parameter(-decay[:, None] * distance[None, :])  # (H, 2 context - 1)

    def init_state(self, batch: int, capacity: int) -> AttentionState:
        reference = self.out.weight
        ring = reference.new_zeros(batch, 2 * self.heads, capacity, self.width // self.heads)
        return AttentionState(ring, ring.clone(), reference.new_zeros(batch, self.TAPS - 1, 6 * self.width))

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        span_list: list[Span],
        state: AttentionState | None = None,
        slots: Tensor | None = None,
    ) -> Tensor:
        batch, frames, _ = x.shape
        projected = torch.cat([self.from_tokens(x), self.from_memory(memory)], dim=-1)
        mixed = self.between_frames(projected, None if state is None else state.past)
        queries, keys_values = mixed.split([2 * self.width, 4 * self.width], dim=-1)
        queries = queries.reshape(batch, frames, 2 * self.heads, -1).transpose(1, 2)
        # (self | skip, key | value, heads) -> heads of both attentions together
        keys_values = keys_values.reshape(batch, frames, 2, 2, self.heads, -1).permute(3, 0, 2, 4, 1, 5)
        keys, values = keys_values.reshape(2, batch, 2 * self.heads, frames, -1).unbind(0)
        if state is not None:
            assert slots is not None
            keys = state.keys.index_copy_(2, slots, keys)
            values = state.values.index_copy_(2, slots, values)
        table = F.pad(self.bias, (0, 1), value=float("-inf"))
        pieces = []
        for span in span_list:
            bias = table.index_select(1, span.offsets.flatten()).view(1, -1, *span.offsets.shape)
            seen = slice(span.first, span.last)
            pieces.append(
                F.scaled_dot_product_attention(
                    queries[:, :, span.start : span.stop], keys[:, :, seen], values[:, :, seen], attn_mask=bias
                )
            )
        attended = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)
        return self.out(attended.transpose(1, 2).reshape(batch, frames, 2 * self.width))
