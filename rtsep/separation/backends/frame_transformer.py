"""The frame transformer's step in machine code, for one CPU thread: the same masks in less time, without PyTorch.

`FrameTransformer.step` is four hundred small operations, and at one frame a step most of its time goes into calling
them. Here it is about a hundred calls of compiled kernels that write into buffers made once. A process without PyTorch
also starts a second and a half sooner, in half the memory. `rtsep.nn.frame_transformer` explains the parts; a test
compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.separation.backends import dense_kernels as dense
from rtsep.separation.backends.weight_reader import Affine, WeightReader

Float32 = NDArray[np.float32]
LOG_FLOOR, SILENCE_ENERGY = np.float32(1e-3), np.float32(1e-8)
"""As in `FrameTransformer` and its `RunningScale`, whose modules import PyTorch."""


class CompiledStepper:
    """Steps one stream: T frames, S stems, C channels, F bins, D width of a token, H heads.

    Args:
        weights: contiguous float32, by their names in the state dict of the network.
        stems: names of the stems.
        max_chunk: the most frames in a step.
        context: frames of the past that attention sees, at most as many as the network was trained with (the default).

    Raises ValueError for weights of another network.
    """

    lookahead_frames = 0
    compute, way, stride, scaled_by_peak = "cpu", "compiled", 1, False

    def __init__(
        self, weights: Mapping[str, Float32], stems: Sequence[str], max_chunk: int, context: int | None = None
    ) -> None:
        self._weights = weights
        take = WeightReader(weights)
        self.stems, self.max_chunk = tuple(stems), max_chunk
        maps = [take.size(f"encoder_norms.{level}.weight") for level in range(3)]
        width, logits = take.size("top.norm_out.weight"), take.size("to_high_logits.bias")
        self.bins, self.channels = take.size("input_mean"), logits // len(stems)
        stride = self._stride = take.size("to_line.bias") // (2 * logits) if logits else 0
        if self.channels * len(stems) != logits or stride < 1 or self.bins % stride**3:
            raise ValueError(f"its weights are not those of {len(stems)} stems")
        bins = [self.bins // stride**level for level in (1, 2, 3)]
        learnt = take.learnt_context()
        self.context_frames = learnt if context is None else context
        self._scratch = _Scratch(max_chunk)
        self._position = np.zeros(1, np.int64)
        self._energies = np.zeros(learnt - 1, np.float32)
        self._mean, self._deviation = take.array("input_mean", self.bins), take.array("input_deviation", self.bins)
        into = [self.channels, *maps]
        self._encoder = [
            (
                take(f"encoder.{level}.project", maps[level], 2 * stride * into[level]),
                take(f"encoder_norms.{level}", maps[level]),
            )
            for level in range(3)
        ]

        def module(name: str, level: int, maps_in: int) -> _Module:
            sizes = width, width // bins[level], maps_in, maps[level]
            return _Module(take, name, sizes, (learnt, self.context_frames, max_chunk), self._scratch)

        def raised(name: str, maps_in: int, maps_out: int) -> tuple[Float32, Float32]:
            weight = take.array(f"{name}.project.weight", 2 * stride * maps_out, maps_in)
            return weight, take.array(f"{name}.bias", maps_out)

        high, middle, low = maps
        of_top, of_middle, of_low = (width // size for size in bins)
        self._bottleneck = module("bottleneck", 2, low)
        self._middle, self._top = module("middle", 1, 2 * middle), module("top", 0, 2 * high)
        self._up_low, self._norm_low = raised("up_low", low + of_low, middle), take("norm_low", middle)
        self._up_middle, self._norm_middle = (
            raised("up_middle", 2 * middle + of_middle, high),
            take("norm_middle", high),
        )
        self._to_line = take("to_line", 2 * stride * logits, 2 * high + of_top)
        self._to_high_logits = take("to_high_logits", logits, width)
        take.check_all_read()
        modules = (self._bottleneck, self._middle, self._top)
        of_layers = [array for module in modules for array in module.memory()]
        self._memory: list[NDArray[Any]] = [self._position, self._energies, *of_layers]

    def new_stream(self) -> CompiledStepper:
        """A stepper of the same weights, which are not copied, with a state of its own."""
        return CompiledStepper(self._weights, self.stems, self.max_chunk, self.context_frames)

    def reset(self) -> None:
        """Forget all frames."""
        for array in self._memory:
            array[:] = 0

    def expect_peak(self, peak: float) -> None:
        """Raises ValueError: it scales its input by itself."""
        raise ValueError("the frame transformer does not scale its input by a song's largest magnitude")

    def snapshot(self, into: object | None = None) -> object:
        """A copy of the state, for `restore`. `into`: an earlier one, to be overwritten without allocating."""
        if not isinstance(into, list):
            return [array.copy() for array in self._memory]
        for saved, array in zip(into, self._memory, strict=True):
            saved[:] = array
        return into

    def restore(self, snapshot: object) -> None:
        """Continue from a snapshot of this stepper."""
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

    def hear(self, magnitudes: Float32) -> None:
        """A step whose masks are not used."""
        self.step(magnitudes)

    def interrupt_when(self, condition: Callable[[], bool]) -> None:
        """Nothing: a step is short."""

    def _encode(self, name: str, level: Float32, project: Affine, norm: Affine) -> Float32:
        """(T, F, C) -> (T, F / stride, C')."""
        frames, bins, channels = level.shape
        bins //= self._stride
        windows = _rows(self._scratch("windows", frames, bins, 2 * self._stride * channels))
        dense.windows(level, self._stride, windows)
        out = self._scratch(name, frames, bins, len(project[0]))
        _linear(windows, *project, _rows(out))
        dense.layer_norm(_rows(out), *norm, _rows(out))
        dense.silu(_rows(out))
        return out

    def _decode(self, name: str, level: Float32, up: Affine, norm: Affine) -> Float32:
        """(T, F, C) -> (T, F * stride, C')."""
        frames, bins, _ = level.shape
        weight, bias = up
        patches = _rows(self._scratch("patches", frames, bins, len(weight)))
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
        take: WeightReader,
        name: str,
        sizes: tuple[int, int, int, int],
        frames: tuple[int, int, int],
        scratch: _Scratch,
    ) -> None:
        """`sizes`: D, and the maps of a token's bin, of the level and of the encoder's; `frames`: as of `_Layer`."""
        width, maps_out, maps_in, memory_maps = sizes
        self._scratch, self._width = scratch, width
        self._to_tokens = take(f"{name}.to_tokens", maps_out, maps_in)
        self._to_memory = take(f"{name}.to_memory", maps_out, memory_maps)
        self._norm_memory, self._norm_out = take(f"{name}.norm_memory", width), take(f"{name}.norm_out", width)
        count = take.count(f"{name}.layers")
        self._layers = [_Layer(take, f"{name}.layers.{number}", width, frames, scratch) for number in range(count)]

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

    def __init__(
        self, take: WeightReader, name: str, width: int, frames: tuple[int, int, int], scratch: _Scratch
    ) -> None:
        """`frames`: context that was learnt, context that is looked at, longest step."""
        learnt, context, max_chunk = frames
        self._scratch, self._max_chunk = scratch, max_chunk
        self._norm_gate, self._gate = take(f"{name}.norm_gate", width), take(f"{name}.gate", 2 * width, width)
        self._between_frames = take.array(f"{name}.between_frames.weight", None, width)
        self._norm_attention = take(f"{name}.norm_attention", width)
        attention = f"{name}.attention"
        # Queries, keys and values of both attentions come of two products, side by side in one row.
        self._from_tokens = take(f"{attention}.from_tokens", 4 * width, width)
        self._from_memory = take(f"{attention}.from_memory", 2 * width, width)
        self._attention_between = take.array(f"{attention}.between_frames.weight", None, 6 * width)
        self._out = take(f"{attention}.out", width, 2 * width)
        self._norm_expand = take(f"{name}.norm_expand", width)
        feed_forward = take.size(f"{name}.expand.bias")
        self._expand = take(f"{name}.expand", feed_forward, width)
        self._contract = take(f"{name}.contract", width, feed_forward)
        bias = take.array(f"{attention}.bias", None, 2 * learnt - 1)
        if not len(bias) or len(bias) % 2 or 2 * width % len(bias):
            raise ValueError(f"{attention}.bias has {len(bias)} rows, no number of heads")
        self._table = _table(bias, context, max_chunk)
        self._past = np.zeros((len(self._between_frames) - 1, width), np.float32)
        self._attention_past = np.zeros((len(self._attention_between) - 1, 6 * width), np.float32)
        self._ring = np.zeros((2, len(bias), context + max_chunk - 1, 2 * width // len(bias)), np.float32)
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
        by_head = scratch("by head", frames, heads, size).reshape(heads, frames, size)
        scores, turned = scratch("scores", frames, capacity), scratch("turned", 1, size, capacity)[0]
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
    """Buffers (frames, *shape) by name. Each is made once, for the longest step; a shorter one uses its beginning."""

    def __init__(self, max_chunk: int) -> None:
        self._max_chunk = max_chunk
        self._buffers: dict[tuple[Any, ...], Float32] = {}
        self._views: dict[tuple[Any, ...], Float32] = {}

    def __call__(self, name: str, frames: int, *shape: int) -> Float32:
        view = self._views.get((name, frames, *shape))
        if view is None:
            buffer = self._buffers.get((name, *shape))
            if buffer is None:
                buffer = self._buffers[name, *shape] = np.zeros((self._max_chunk, *shape), np.float32)
            view = self._views[name, frames, *shape] = buffer[:frames]
        return view
