"""Multiband frame attention over a sliding window of frames, with true relative positions.

Attention is bidirectional inside a chunk of K frames and causal across chunks: query q attends to key k if and only if
k // K <= q // K and -context < k - q < context, with positions counted from the last reset. A `Span` holds these keys
and their offsets; it is made once per call for all layers. A step looks its span up in `RingTables`.

Heads are bands of the token, as in carperbr's frame transformer (README of vocal-remover-frame-transformer), and every
query also attends to the encoder's map of the same level (skip attention). Depthwise convolutions follow the
projections as in Primer (So et al. 2021, arXiv:2109.08668). A learned bias for each offset replaces the source's
relative term, whose code transposes instead of skewing (Huang et al. 2018, arXiv:1809.04281).

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
    """Queries [start, stop) attend to keys [first, last).

    Either `offsets` (queries, keys) indexes the columns of the bias table and its wall, or `bias` (1, H, queries, keys)
    is one layer's, looked up already.
    """

    start: int
    stop: int
    first: int
    last: int
    offsets: Tensor | None = None
    bias: Tensor | None = None


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
        back = queries[:, None] - keys[None, :]
        inside = ((keys // chunk)[None, :] <= (queries // chunk)[:, None]) & (back.abs() < context)
        offsets = torch.where(inside, back + (table_context - 1), 2 * table_context - 1)
        result.append(Span(start, stop, first, last, offsets))
    return result


class RingTables:
    """Precomputed tables for the steps of a stream: the bias of every layer, ring slot and query.

    A ring that held only `context` frames would lose keys that the first queries of a chunk still need; it holds
    context + max_chunk - 1. `biases` are the layers' parameters (H, 2 table_context - 1), taken over as they are now.
    """

    def __init__(self, biases: list[Tensor], context: int, max_chunk: int) -> None:
        table_context = (biases[0].shape[1] + 1) // 2
        device = biases[0].device
        self.capacity = context + max_chunk - 1
        self._numbers = torch.arange(self.capacity, device=device)
        self._last_queries = torch.arange(max_chunk, device=device)
        # Column i is the bias of a key i - (max_chunk - 1) frames back, out of sight where that is context or more.
        back = torch.arange(self.capacity + max_chunk, device=device) - (max_chunk - 1)
        wall = biases[0].shape[1]
        columns = torch.where(back.abs() < context, back + (table_context - 1), wall)
        walled = [F.pad(bias.detach(), (0, 1), value=float("-inf"))[:, columns] for bias in biases]
        self._table = torch.cat(walled)  # (layers * H, columns)
        self._layers = len(biases)

    def of_layers(self) -> list[Tensor]:
        """For each layer its table (H, capacity + max_chunk).

        In column a + max_chunk - K + q stands the bias, for query q of a step of K frames, of a key a frames old.
        """
        return list(self._table.chunk(self._layers))

    def look_up(self, position: Tensor, steps: int) -> tuple[list[list[Span]], Tensor]:
        """For each layer its span, for a step of `steps` frames; and the slots that its keys take.

        `position` counts the frames before the step; it stays on its device, so that a captured graph can step too.
        """
        newest = position + (steps - 1)
        age = torch.remainder(newest - self._numbers, self.capacity)  # of the last frame written to each slot
        age = torch.where(age <= newest, age, self.capacity)  # nothing was written there yet: out of sight
        queries = self._last_queries[-steps:]
        columns = (queries[:, None] + age).flatten()
        biases = self._table.index_select(1, columns).view(self._layers, 1, -1, steps, self.capacity)
        slots = torch.remainder(position + self._last_queries[:steps], self.capacity)
        return [[Span(0, steps, 0, self.capacity, bias=bias)] for bias in biases.unbind(0)], slots


@dataclass
class AttentionState(State):
    """Keys and values (2, B, attentions, H / 2, capacity, E) in a ring, and the past of the depthwise convolution."""

    ring: Tensor
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
        ring = reference.new_zeros(2, batch, 2, self.heads, capacity, self.width // self.heads)
        return AttentionState(ring, reference.new_zeros(batch, self.TAPS - 1, 6 * self.width))

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
        queries = queries.view(batch, frames, 2 * self.heads, -1).transpose(1, 2)
        # (self | skip, key | value, heads) -> key | value first, like the ring
        keys_values = keys_values.view(batch, frames, 2, 2, self.heads, -1).permute(3, 0, 2, 4, 1, 5)
        if state is not None:
            assert slots is not None
            keys_values = state.ring.index_copy_(4, slots, keys_values)
        keys, values = keys_values.flatten(2, 3).unbind(0)
        pieces = []
        for span in span_list:
            bias = self._bias(span.offsets) if span.bias is None else span.bias
            asking, seen = slice(span.start, span.stop), slice(span.first, span.last)
            pieces.append(
                F.scaled_dot_product_attention(
                    queries[:, :, asking], keys[:, :, seen], values[:, :, seen], attn_mask=bias
                )
            )
        attended = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)
        return self.out(attended.transpose(1, 2).reshape(batch, frames, 2 * self.width))

    def _bias(self, offsets: Tensor | None) -> Tensor:
        """(queries, keys) of columns of the bias table -> (1, H, queries, keys)."""
        assert offsets is not None
        table = F.pad(self.bias, (0, 1), value=float("-inf"))
        return table.index_select(1, offsets.flatten()).view(1, -1, *offsets.shape)
