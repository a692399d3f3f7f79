"""The frame transformer's step in machine code, for one CPU thread: the same masks from the same state, sooner.

`FrameTransformer.step` is four hundred small operations, and at one frame a step most of its time goes into calling
them. Here they are some hundred calls of compiled kernels that write into buffers made once. Weights and state are the
network's own memory, not copies: `reset`, `snapshot` and `restore` of the state, and even a step of the network itself
in between, go on as they should. What the parts are for stands in `rtsep.nn.frame_transformer`; a test holds both
together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp import dense

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rtsep.nn.frame_transformer import (
        FrameTransformer,
        FrameTransformerLayer,
        FrameTransformerModule,
        FrameTransformerState,
        LayerState,
    )

Float32 = NDArray[np.float32]


class CompiledStep:
    """Steps one stream: T frames, S stems, C channels, F bins, D width of a token.

    Args:
        network: on the CPU, its parameters without gradients.
        state: of this network, for one stream; written in place.
    """

    def __init__(self, network: FrameTransformer, state: FrameTransformerState) -> None:
        self._stems, self._channels, self._bins = len(network.stems), network.channels, network.bins
        self._stride = network.STRIDE
        self._scratch = _Scratch()
        self._max_chunk = state.max_chunk
        self._position = state.position.numpy()
        self._energies = state.energies.numpy()[0]
        self._silence = np.float32(network.scale.SILENCE_ENERGY)
        self._floor = np.float32(network.LOG_FLOOR)
        self._mean = network.get_buffer("input_mean").numpy()
        self._deviation = network.get_buffer("input_deviation").numpy()
        self._encoder = [
            (_weights(conv.project), _weights(norm))  # type: ignore[arg-type]
            for conv, norm in zip(network.encoder, network.encoder_norms, strict=True)
        ]
        count, tables, parts = 0, state.tables.of_layers(), []
        for module in (network.bottleneck, network.middle, network.top):
            layers = slice(count, count + len(module.layers))
            parts.append(_Module(module, state.layers[layers], tables[layers], state.max_chunk, self._scratch))
            count = layers.stop
        self._bottleneck, self._middle, self._top = parts
        self._up_low = network.up_low.project.weight.numpy(), network.up_low.bias.numpy()
        self._up_middle = network.up_middle.project.weight.numpy(), network.up_middle.bias.numpy()
        self._norm_low, self._norm_middle = _weights(network.norm_low), _weights(network.norm_middle)
        self._to_line, self._to_high_logits = _weights(network.to_line), _weights(network.to_high_logits)

    def step(self, magnitudes: Float32) -> Float32:
        """Masks (S, C, F + 1, T) of contiguous `magnitudes` (C, F, T), 1 <= T <= max_chunk; valid until the next step.

        Raises ValueError for other shapes.
        """
        frames = magnitudes.shape[-1]
        if magnitudes.shape != (self._channels, self._bins, frames) or not 1 <= frames <= self._max_chunk:
            raise ValueError(
                f"expected magnitudes ({self._channels}, {self._bins}, 1 to {self._max_chunk}), got {magnitudes.shape}"
            )
        position = int(self._position)
        detail = self._scratch("detail", frames, self._bins, self._channels)
        dense.levels(magnitudes, self._energies, self._silence, self._mean, self._deviation, self._floor, detail)
        level, encoded = detail, []
        for name, (project, norm) in zip(("high", "middle", "low"), self._encoder, strict=True):
            level = self._encode(name, level, project, norm)
            encoded.append(level)
        high, middle, low = encoded

        x = self._join("bottleneck", low, self._bottleneck.transform(low, low, position))
        x = self._join("low", self._decode("low", x, self._up_low, self._norm_low), middle)
        x = self._join("middle", x, self._middle.transform(x, middle, position))
        x = self._join("high", self._decode("middle", x, self._up_middle, self._norm_middle), high)
        tokens = self._top.transform(x, high, position)
        joined = self._join("top", x, tokens)
        lines = self._scratch("lines", frames, joined.shape[1], len(self._to_line[0]))
        _linear(_rows(joined), *self._to_line, _rows(lines))
        logits = self._scratch("logits", frames, self._stems, self._channels)
        _linear(tokens, *self._to_high_logits, logits.reshape(frames, -1))
        masks = self._scratch("masks", frames, self._stems, self._channels, self._bins + 1)
        dense.line_masks(lines, detail, logits, masks)
        self._position += frames
        return masks.transpose(1, 2, 3, 0)

    def _encode(self, name: str, level: Float32, project: _Weights, norm: _Weights) -> Float32:
        """(T, F, C) -> (T, F / stride, C')."""
        frames, bins, channels = level.shape
        bins //= self._stride
        windows = self._scratch("windows", frames * bins, 2 * self._stride * channels)
        dense.windows(level, self._stride, windows)
        out = self._scratch(name, frames, bins, len(project[0]))
        _linear(windows, *project, _rows(out))
        dense.layer_norm(_rows(out), *norm, _rows(out))
        dense.silu(_rows(out))
        return out

    def _decode(self, name: str, level: Float32, up: _Weights, norm: _Weights) -> Float32:
        """(T, F, C) -> (T, F * stride, C')."""
        frames, bins, _ = level.shape
        weight, bias = up
        patches = self._scratch("patches", frames * bins, len(weight))
        patches[:] = 0.0
        dense.add_product(_rows(level), weight, patches)
        out = self._scratch(f"up {name}", frames, bins * self._stride, len(bias))
        dense.overlap_windows(patches, bias, self._stride, out)
        dense.layer_norm(_rows(out), *norm, _rows(out))
        dense.silu(_rows(out))
        return out

    def _join(self, name: str, level: Float32, further: Float32) -> Float32:
        """(T, F, C) and as many bins of further channels, side by side."""
        frames, bins, channels = level.shape
        further = further.reshape(frames, bins, -1)
        out = self._scratch(f"joined {name}", frames, bins, channels + further.shape[2])
        out[:, :, :channels] = level
        out[:, :, channels:] = further
        return out


class _Module:
    """`FrameTransformerModule` over one level."""

    def __init__(
        self,
        module: FrameTransformerModule,
        states: list[LayerState],
        tables: list[Tensor],
        max_chunk: int,
        scratch: _Scratch,
    ) -> None:
        self._scratch = scratch
        self._to_tokens, self._to_memory = _weights(module.to_tokens), _weights(module.to_memory)
        self._norm_memory, self._norm_out = _weights(module.norm_memory), _weights(module.norm_out)
        self._width = module.norm_out.normalized_shape[0]
        self._layers = [
            _Layer(layer, state, table.numpy(), max_chunk, scratch)  # type: ignore[arg-type]
            for layer, state, table in zip(module.layers, states, tables, strict=True)
        ]

    def transform(self, level: Float32, encoded: Float32, position: int) -> Float32:
        """Two maps (T, F, C) -> tokens (T, D)."""
        frames = level.shape[0]
        x = self._scratch("tokens", frames, self._width)
        memory = self._scratch("memory", frames, self._width)
        _linear(_rows(level), *self._to_tokens, x.reshape(-1, len(self._to_tokens[0])))
        _linear(_rows(encoded), *self._to_memory, memory.reshape(-1, len(self._to_memory[0])))
        dense.layer_norm(memory, *self._norm_memory, memory)
        for layer in self._layers:
            layer.transform(x, memory, position)
        dense.layer_norm(x, *self._norm_out, x)
        return x


class _Layer:
    """`FrameTransformerLayer`: adds to its tokens in place."""

    def __init__(
        self, layer: FrameTransformerLayer, state: LayerState, table: Float32, max_chunk: int, scratch: _Scratch
    ) -> None:
        attention = layer.attention
        self._scratch, self._table, self._max_chunk = scratch, table, max_chunk
        self._norm_gate, self._gate = _weights(layer.norm_gate), _weights(layer.gate)
        self._between_frames, self._past = layer.between_frames.weight.numpy(), state.past.numpy()[0]
        self._norm_attention = _weights(layer.norm_attention)
        # Queries, keys and values of both attentions come of two products, side by side in one row.
        self._from_tokens, self._from_memory = _weights(attention.from_tokens), _weights(attention.from_memory)
        self._attention_between = attention.between_frames.weight.numpy()
        self._attention_past = state.attention.past.numpy()[0]
        ring = state.attention.ring.numpy()[:, 0]
        self._ring = ring.reshape(2, -1, *ring.shape[3:])
        self._out = _weights(attention.out)
        self._norm_expand = _weights(layer.norm_expand)
        self._expand, self._contract = _weights(layer.expand), _weights(layer.contract)

    def transform(self, x: Float32, memory: Float32, position: int) -> None:
        """`x` (T, D), changed in place; `memory` (T, D)."""
        frames, width = x.shape
        scratch = self._scratch
        normal = scratch("normal", frames, width)
        dense.layer_norm(x, *self._norm_gate, normal)
        doubled = scratch("doubled", frames, 2 * width)
        _linear(normal, *self._gate, doubled)
        dense.gate(doubled, normal)
        dense.add_causal_depthwise(normal, self._past, self._between_frames, x)

        dense.layer_norm(x, *self._norm_attention, normal)
        projected, mixed = scratch("projected", frames, 6 * width), scratch("mixed", frames, 6 * width)
        of_tokens, of_memory = scratch("of tokens", frames, 4 * width), scratch("of memory", frames, 2 * width)
        _linear(normal, *self._from_tokens, of_tokens)
        _linear(memory, *self._from_memory, of_memory)
        projected[:, : 4 * width] = of_tokens
        projected[:, 4 * width :] = of_memory
        mixed[:] = 0.0
        dense.add_causal_depthwise(projected, self._attention_past, self._attention_between, mixed)
        _, heads, capacity, size = self._ring.shape
        by_head = scratch("by head", heads, frames, size)
        scores, turned = scratch("scores", frames, capacity), scratch("turned", size, capacity)
        column = self._max_chunk - frames
        dense.ring_attention(mixed, self._ring, self._table, column, position, scores, turned, by_head)
        attended = scratch("attended", frames, heads * size)
        dense.join_heads(by_head, attended)
        _add_linear(attended, *self._out, x)

        dense.layer_norm(x, *self._norm_expand, normal)
        expanded = scratch("expanded", frames, len(self._expand[0]))
        _linear(normal, *self._expand, expanded)
        dense.squared_relu(expanded)
        _add_linear(expanded, *self._contract, x)


_Weights = tuple[Float32, Float32]


def _weights(layer: nn.Linear | nn.LayerNorm) -> _Weights:
    return layer.weight.numpy(), layer.bias.numpy()


def _linear(x: Float32, weight: Float32, bias: Float32, out: Float32) -> None:
    """``out = x @ weight.T + bias``: (R, I), (O, I), (O,) -> (R, O)."""
    out[:] = bias
    dense.add_product(x, weight, out)


def _add_linear(x: Float32, weight: Float32, bias: Float32, out: Float32) -> None:
    """``out += x @ weight.T + bias``, for a residual."""
    out += bias
    dense.add_product(x, weight, out)


def _rows(x: Float32) -> Float32:
    """(T, F, C) -> (T * F, C), the same memory."""
    return x.reshape(-1, x.shape[-1])


class _Scratch:
    """Zeroed buffers by name and shape, made when first asked for: a step of a size seen before allocates none."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Float32] = {}

    def __call__(self, name: str, *shape: int) -> Float32:
        key = (name, *shape)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = np.zeros(shape, np.float32)
        return found
