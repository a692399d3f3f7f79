"""The frame transformer's step in machine code, for one CPU thread: the same masks, sooner, and without torch.

`FrameTransformer.step` is four hundred small operations, and at one frame a step most of its time goes into calling
them. Here they are some hundred calls of compiled kernels that write into buffers made once. And a process that needs
no torch is ready a second and a half sooner, in half of the memory. What the parts are for stands in
`rtsep.nn.frame_transformer`; a test holds both together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp import dense

Float32 = NDArray[np.float32]
LOG_FLOOR, SILENCE_ENERGY = np.float32(1e-3), np.float32(1e-8)
"""As `FrameTransformer` and its `RunningScale` have them, whose modules would bring torch along."""


class CompiledStep:
    """Steps one stream: T frames, S stems, C channels, F bins, D width of a token, H heads.

    Args:
        weights: contiguous float32, by their names in the state dict of the network.
        stems: names of the stems.
        max_chunk: the most frames a step will get.
        context: frames back that an attention looks at, no more than the network has learnt, which is the default.

    Raises KeyError or ValueError for weights of another network.
    """

    lookahead_frames = 0
    compute, way = "cpu", "compiled"

    def __init__(
        self, weights: Mapping[str, Float32], stems: Sequence[str], max_chunk: int, context: int | None = None
    ) -> None:
        take = _Weights(weights)
        first, line = weights["encoder.0.project.weight"], weights["to_line.weight"]
        learnt = next((1 + array.shape[1]) // 2 for name, array in weights.items() if name.endswith(".attention.bias"))
        self.stems, self.max_chunk = tuple(stems), max_chunk
        self.bins, self.channels = len(weights["input_mean"]), len(weights["to_high_logits.bias"]) // len(stems)
        self._stride = len(line) // (2 * len(stems) * self.channels)
        if first.shape[1] != 2 * self._stride * self.channels:
            raise ValueError(f"the weights are not those of {len(stems)} stems")
        self.context_frames = learnt if context is None else context
        self._scratch = _Scratch()
        self._position = np.zeros(1, np.int64)
        self._energies = np.zeros(learnt - 1, np.float32)
        self._mean, self._deviation = take.array("input_mean"), take.array("input_deviation")
        self._encoder = [(take(f"encoder.{level}.project"), take(f"encoder_norms.{level}")) for level in range(3)]

        def module(name: str) -> _Module:
            return _Module(take, name, self.context_frames, max_chunk, self._scratch)

        self._bottleneck, self._middle, self._top = module("bottleneck"), module("middle"), module("top")
        self._up_low = take.array("up_low.project.weight"), take.array("up_low.bias")
        self._up_middle = take.array("up_middle.project.weight"), take.array("up_middle.bias")
        self._norm_low, self._norm_middle = take("norm_low"), take("norm_middle")
        self._to_line, self._to_high_logits = take("to_line"), take("to_high_logits")
        modules = (self._bottleneck, self._middle, self._top)
        of_layers = [array for module in modules for array in module.memory()]
        self._memory: list[NDArray[Any]] = [self._position, self._energies, *of_layers]

    def reset(self) -> None:
        """Forget all frames."""
        for array in self._memory:
            array[:] = 0

    def snapshot(self, into: object | None = None) -> object:
        """What the stream remembers, for `restore`. `into`: an earlier one, to be overwritten; nothing is allocated."""
        if not isinstance(into, list):
            return [array.copy() for array in self._memory]
        for saved, array in zip(into, self._memory, strict=True):
            saved[:] = array
        return into

    def restore(self, snapshot: object) -> None:
        """Go on from a snapshot of this stream."""
        assert isinstance(snapshot, list)
        for array, saved in zip(self._memory, snapshot, strict=True):
            array[:] = saved

    def step(self, magnitudes: Float32) -> Float32:
        """Masks (S, C, F + 1, T) of contiguous `magnitudes` (C, F, T), 1 <= T <= max_chunk; valid until the next step.

        Raises ValueError for other shapes.
        """
        frames = magnitudes.shape[-1]
        if magnitudes.shape != (self.channels, self.bins, frames) or not 1 <= frames <= self.max_chunk:
            raise ValueError(
                f"expected magnitudes ({self.channels}, {self.bins}, 1 to {self.max_chunk}), got {magnitudes.shape}"
            )
        position, stems = int(self._position[0]), len(self.stems)
        detail = self._scratch("detail", frames, self.bins, self.channels)
        dense.levels(magnitudes, self._energies, SILENCE_ENERGY, self._mean, self._deviation, LOG_FLOOR, detail)
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
        logits = self._scratch("logits", frames, stems, self.channels)
        _linear(tokens, *self._to_high_logits, logits.reshape(frames, -1))
        masks = self._scratch("masks", frames, stems, self.channels, self.bins + 1)
        dense.line_masks(lines, detail, logits, masks)
        self._position += frames
        return masks.transpose(1, 2, 3, 0)

    def _encode(self, name: str, level: Float32, project: _Affine, norm: _Affine) -> Float32:
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

    def _decode(self, name: str, level: Float32, up: _Affine, norm: _Affine) -> Float32:
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

    def __init__(self, take: _Weights, name: str, context: int, max_chunk: int, scratch: _Scratch) -> None:
        self._scratch = scratch
        self._to_tokens, self._to_memory = take(f"{name}.to_tokens"), take(f"{name}.to_memory")
        self._norm_memory, self._norm_out = take(f"{name}.norm_memory"), take(f"{name}.norm_out")
        self._width = len(self._norm_out[0])
        self._layers = [
            _Layer(take, f"{name}.layers.{number}", context, max_chunk, scratch)
            for number in range(take.count(f"{name}.layers"))
        ]

    def memory(self) -> Iterator[Float32]:
        for layer in self._layers:
            yield from layer.memory

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

    def __init__(self, take: _Weights, name: str, context: int, max_chunk: int, scratch: _Scratch) -> None:
        self._scratch, self._max_chunk = scratch, max_chunk
        self._norm_gate, self._gate = take(f"{name}.norm_gate"), take(f"{name}.gate")
        self._between_frames = take.array(f"{name}.between_frames.weight")
        self._norm_attention = take(f"{name}.norm_attention")
        # Queries, keys and values of both attentions come of two products, side by side in one row.
        self._from_tokens, self._from_memory = (
            take(f"{name}.attention.from_tokens"),
            take(f"{name}.attention.from_memory"),
        )
        self._attention_between = take.array(f"{name}.attention.between_frames.weight")
        self._out = take(f"{name}.attention.out")
        self._norm_expand = take(f"{name}.norm_expand")
        self._expand, self._contract = take(f"{name}.expand"), take(f"{name}.contract")
        bias = take.array(f"{name}.attention.bias")
        capacity, width, heads = context + max_chunk - 1, len(self._contract[1]), len(bias)
        self._table = _table(bias, context, max_chunk)
        self._past = np.zeros((len(self._between_frames) - 1, width), np.float32)
        self._attention_past = np.zeros((len(self._attention_between) - 1, 6 * width), np.float32)
        self._ring = np.zeros((2, heads, capacity, 2 * width // heads), np.float32)
        self.memory = (self._past, self._attention_past, self._ring)

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


def _table(bias: Float32, context: int, max_chunk: int) -> Float32:
    """The bias (H, 2 C - 1) of offsets by a key's age, as `rtsep.nn.attention.RingTables` has it: (H, columns)."""
    back = np.arange(context + 2 * max_chunk - 1) - (max_chunk - 1)
    learnt = (bias.shape[1] + 1) // 2
    columns = np.where(np.abs(back) < context, back + learnt - 1, bias.shape[1])
    return np.ascontiguousarray(np.pad(bias, ((0, 0), (0, 1)), constant_values=-np.inf)[:, columns])


_Affine = tuple[Float32, Float32]


class _Weights:
    """Weights by name, ready for the kernels."""

    def __init__(self, weights: Mapping[str, Float32]) -> None:
        self._weights = weights

    def array(self, name: str) -> Float32:
        return np.ascontiguousarray(self._weights[name], np.float32)

    def __call__(self, name: str) -> _Affine:
        """Weight and bias of a layer."""
        return self.array(f"{name}.weight"), self.array(f"{name}.bias")

    def count(self, name: str) -> int:
        """Of the members of a list."""
        return len({key[len(name) + 1 :].partition(".")[0] for key in self._weights if key.startswith(f"{name}.")})


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
