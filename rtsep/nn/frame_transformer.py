"""The default network: a streaming frame transformer, one checkpoint for any chunk size.

A U-net along frequency alone encodes each frame by itself (N×1 convolutions, 1024 -> 256 -> 64 -> 16 bins); only
transformer modules move information between frames, at the bottleneck and at two decoder levels. Each works on a narrow
projection of its level, with a second projection of the encoder's map as memory; its output becomes further channels of
the level. The idea is carperbr's frame transformer (README of vocal-remover-frame-transformer); causal convolutions,
the sliding context and the free chunk size were added for streaming.

Dimensions: B batch, S stems, C channels, F bins, T or K frames, D width of a token; maps are (B, T, bins, maps).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.attention import AttentionState, FrameAttention, RingTables, Span, spans
from rtsep.nn.contract import State, StreamingNetwork
from rtsep.nn.layers import CausalDepthwise, FrameConv, FrameConvTransposed, RunningScale


@dataclass
class LayerState(State):
    """Past of the convolution between frames, and the attention's."""

    past: Tensor
    attention: AttentionState


@dataclass
class FrameTransformerState(State):
    """The state of a stream; `position` counts frames since the last reset, `tables` are constant."""

    max_chunk: int
    tables: RingTables
    position: Tensor
    energies: Tensor
    layers: list[LayerState]


class FrameTransformerLayer(nn.Module):
    """Gated causal convolution, self- and skip attention, squared-ReLU feed-forward; each pre-norm with a residual."""

    TAPS = 9

    def __init__(self, width: int, heads: int, feed_forward: int, context: int) -> None:
        super().__init__()
        self.norm_gate = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.between_frames = CausalDepthwise(width, self.TAPS)
        self.norm_attention = nn.LayerNorm(width)
        self.attention = FrameAttention(width, heads, context)
        self.norm_expand = nn.LayerNorm(width)
        self.expand = nn.Linear(width, feed_forward)
        self.contract = nn.Linear(feed_forward, width)

    def init_state(self, batch: int, capacity: int) -> LayerState:
        past = self.gate.weight.new_zeros(batch, self.TAPS - 1, self.norm_gate.normalized_shape[0])
        return LayerState(past, self.attention.init_state(batch, capacity))

    def forward(
        self, x: Tensor, memory: Tensor, span_list: list[Span], state: LayerState | None, slots: Tensor | None
    ) -> Tensor:
        gated = F.glu(self.gate(self.norm_gate(x)), dim=-1)
        x = x + self.between_frames(gated, None if state is None else state.past)
        attention_state = None if state is None else state.attention
        x = x + self.attention(self.norm_attention(x), memory, span_list, attention_state, slots)
        return x + self.contract(F.relu(self.expand(self.norm_expand(x))).square())


class FrameTransformerModule(nn.Module):
    """Layers over one level: its `maps_in` maps and the encoder's `memory_maps` become tokens of bins * maps_out."""

    def __init__(
        self,
        maps_in: int,
        memory_maps: int,
        bins: int,
        width: int,
        heads: int,
        feed_forward: int,
        layers: int,
        context: int,
    ) -> None:
        super().__init__()
        self.maps_out = width // bins
        self.to_tokens = nn.Linear(maps_in, self.maps_out)
        self.to_memory = nn.Linear(memory_maps, self.maps_out)
        self.norm_memory = nn.LayerNorm(width)
        self.layers = nn.ModuleList(FrameTransformerLayer(width, heads, feed_forward, context) for _ in range(layers))
        self.norm_out = nn.LayerNorm(width)

    def forward(
        self,
        level: Tensor,
        encoded: Tensor,
        span_lists: list[list[Span]],
        states: list[LayerState] | None,
        slots: Tensor | None,
    ) -> Tensor:
        """(B, T, bins, maps_in) and (B, T, bins, memory_maps) -> tokens (B, T, width)."""
        batch, frames, bins, _ = level.shape
        x = self.to_tokens(level).reshape(batch, frames, bins * self.maps_out)
        memory = self.norm_memory(self.to_memory(encoded).reshape(batch, frames, bins * self.maps_out))
        for index, layer in enumerate(self.layers):
            x = layer(x, memory, span_lists[index], None if states is None else states[index], slots)
        return self.norm_out(x)


class FrameTransformer(StreamingNetwork):
    """Masks that sum to one over the stems, at most `context` frames back in each attention, no lookahead.

    Args:
        stems: names of the stems, at least two.
        widths: maps of the encoder at 256, 64 and 16 bins (with 1024 bins seen).
        width: width of a token; a multiple of heads and of the bins of the first encoder level.
        layers: transformer layers at the bottleneck and at the two decoder levels.
    Raises ValueError for sizes that do not fit together.
    """

    STRIDE = 4
    LOG_FLOOR = 1e-3  # of the running scale: quieter bins all look alike

    def __init__(
        self,
        stems: Sequence[str],
        channels: int = 2,
        bins: int = 1024,
        widths: Sequence[int] = (32, 64, 64),
        width: int = 256,
        heads: int = 8,
        feed_forward: int = 512,
        layers: Sequence[int] = (2, 1, 1),
        context: int = 192,
    ) -> None:
        super().__init__()
        if len(stems) < 2:
            raise ValueError(f"masks that sum to one need at least two stems, got {list(stems)}")
        level_bins = [bins // self.STRIDE**level for level in (1, 2, 3)]
        if bins % self.STRIDE**3 or width % heads or any(width % size for size in level_bins):
            raise ValueError(
                f"width {width} must be a multiple of {heads} heads and of every level's bins {level_bins}"
            )
        self.stems, self.channels, self.bins, self.context_frames = tuple(stems), channels, bins, context
        self.table_context = context
        self.scale = RunningScale(context)
        self.register_buffer("input_mean", torch.zeros(bins))
        self.register_buffer("input_deviation", torch.ones(bins))

        maps = [channels, *widths]
        self.encoder = nn.ModuleList(FrameConv(maps[i], maps[i + 1], self.STRIDE) for i in range(3))
        self.encoder_norms = nn.ModuleList(nn.LayerNorm(size) for size in widths)

        def module(maps_in: int, level: int) -> FrameTransformerModule:
            return FrameTransformerModule(
                maps_in, widths[level], level_bins[level], width, heads, feed_forward, layers[2 - level], context
            )

        self.bottleneck = module(widths[2], 2)
        self.up_low = FrameConvTransposed(widths[2] + self.bottleneck.maps_out, widths[1], self.STRIDE)
        self.norm_low = nn.LayerNorm(widths[1])
        self.middle = module(2 * widths[1], 1)
        self.up_middle = FrameConvTransposed(2 * widths[1] + self.middle.maps_out, widths[0], self.STRIDE)
        self.norm_middle = nn.LayerNorm(widths[0])
        self.top = module(2 * widths[0], 0)
        self.to_line = nn.Linear(2 * widths[0] + self.top.maps_out, self.STRIDE * 2 * len(stems) * channels)
        self.to_high_logits = nn.Linear(width, len(stems) * channels)

    def layer_list(self) -> list[FrameTransformerLayer]:
        """Every transformer layer, in the order of their states."""
        modules = (self.bottleneck, self.middle, self.top)
        return [layer for module in modules for layer in module.layers]  # type: ignore[misc]

    def init_state(self, batch: int = 1, max_chunk: int = 32) -> FrameTransformerState:
        reference = self.to_high_logits.weight
        tables = RingTables([layer.attention.bias for layer in self.layer_list()], self.context_frames, max_chunk)
        return FrameTransformerState(
            max_chunk,
            tables,
            torch.zeros((), dtype=torch.int64, device=reference.device),
            reference.new_zeros(batch, self.scale.past_frames),
            [layer.init_state(batch, tables.capacity) for layer in self.layer_list()],
        )

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        assert isinstance(state, FrameTransformerState)
        self.validate(magnitudes, state.max_chunk)
        steps = magnitudes.shape[3]
        span_lists, slots = state.tables.look_up(state.position, steps)
        masks = self._masks(magnitudes, span_lists, state, slots)
        state.position += steps
        return masks

    def forward(self, magnitudes: Tensor, chunk: int | None = None) -> Tensor:
        self.validate(magnitudes)
        frames = magnitudes.shape[3]
        span_list = spans(frames, chunk or frames, self.context_frames, self.table_context, magnitudes.device)
        return self._masks(magnitudes, [span_list] * len(self.layer_list()), None, None)

    def features(self, magnitudes: Tensor, energies: Tensor | None = None) -> Tensor:
        """Log magnitudes over the running scale, standardised per bin: (B, C, F, T) -> (B, T, F, C)."""
        x = magnitudes.permute(0, 3, 2, 1)
        scale = self.scale(x, energies)[:, :, None, None]
        logs = torch.log(x / scale + self.LOG_FLOOR)
        return (logs - self.get_buffer("input_mean")[:, None]) / self.get_buffer("input_deviation")[:, None]

    def _masks(
        self,
        magnitudes: Tensor,
        span_lists: list[list[Span]],
        state: FrameTransformerState | None,
        slots: Tensor | None,
    ) -> Tensor:
        def transform(module: FrameTransformerModule, level: Tensor, encoded: Tensor, first: int) -> Tensor:
            mine = slice(first, first + len(module.layers))
            return module(level, encoded, span_lists[mine], None if state is None else state.layers[mine], slots)

        detail = self.features(magnitudes, None if state is None else state.energies)
        encoded, x = [], detail
        for conv, norm in zip(self.encoder, self.encoder_norms, strict=True):
            x = F.silu(norm(conv(x)))
            encoded.append(x)
        high, middle, low = encoded
        batch, frames = detail.shape[:2]

        def join(level: Tensor, tokens: Tensor) -> Tensor:
            return torch.cat([level, tokens.reshape(batch, frames, level.shape[2], -1)], dim=-1)

        n_low, n_middle = len(self.bottleneck.layers), len(self.middle.layers)
        x = join(low, transform(self.bottleneck, low, low, 0))
        x = torch.cat([F.silu(self.norm_low(self.up_low(x))), middle], dim=-1)
        x = join(x, transform(self.middle, x, middle, n_low))
        x = torch.cat([F.silu(self.norm_middle(self.up_middle(x))), high], dim=-1)
        tokens = transform(self.top, x, high, n_low + n_middle)
        # Linear in each bin's own level, so that a mask can separate a partial from the noise beside it.
        # Stems move outside the bins: every sum that follows runs over long rows.
        stems, channels = len(self.stems), self.channels
        line = self.to_line(join(x, tokens)).view(batch, frames, -1, 2 * stems, self.STRIDE * channels)
        line = line.transpose(2, 3).reshape(batch, frames, 2, stems, self.bins, channels)
        low_logits = torch.addcmul(line[:, :, 0], line[:, :, 1], detail[:, :, None])
        high_logits = self.to_high_logits(tokens).view(batch, frames, stems, 1, channels)
        masks = torch.cat([low_logits, high_logits], dim=3).softmax(dim=2)
        return masks.permute(0, 2, 4, 3, 1)
