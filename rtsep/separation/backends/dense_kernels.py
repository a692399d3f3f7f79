"""Small dense layers for a few frames at a time, in machine code: what a network's step is made of on one CPU thread.

For one frame a product reads each weight once, so that memory is what it costs; a framework adds several microseconds
to each of hundreds of calls. Rows (R, ...) are frames, or the bins of all frames; weights lie as PyTorch has them.

Sums may be reordered here (`shared.compiled` says where not): the results of a step depend on its frames alone.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit, types

from rtsep.shared.compiled import FLAGS, FLOAT32_LINE, FLOAT32_ROWS, kernel

FLOAT32_CUBE = types.Array(types.float32, 3, "C")
_MATRIX = types.Array(types.float32, 2, "C", readonly=True)
_LINE = types.Array(types.float32, 1, "C", readonly=True)
_CUBE = types.Array(types.float32, 3, "C", readonly=True)
_BLOCK = types.Array(types.float32, 4, "C")
_FASTMATH = {"reassoc", "contract", "nsz", "arcp"}  # not nnan and ninf: a broken network must show
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


_dense = partial(kernel, fastmath=_FASTMATH, forceinline=False)
_intrinsic: Any = extending.intrinsic


@_intrinsic
def _float_of_bits(typing_context, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


_LOG2E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_LEAST, _MOST = np.float32(-87.0), np.float32(88.0)
# Cephes' polynomial for exp on half an octave about 0
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1)


@njit(fastmath=_FASTMATH, **FLAGS)
def _exp(x):
    """exp(x) to 2e-7 relative, of what lies within float32's range; unlike the library's it is made for vectors."""
    x = min(max(x, _LEAST), _MOST)
    n = np.floor(x * _LOG2E + _HALF)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    p = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _HALF
    return (p * r * r + r + _ONE) * _float_of_bits((np.int32(n) + np.int32(127)) << np.int32(23))


@_dense(types.void(FLOAT32_ROWS, _MATRIX, FLOAT32_ROWS))
def add_product(x, weight, out):
    """Add ``x @ weight.T`` to `out`: (R, I), (O, I) -> (R, O). Four rows by two columns share what is loaded."""
    rows, inner = x.shape
    columns = weight.shape[0]
    blocked = rows - rows % 4
    for r in range(0, blocked, 4):
        x0, x1, x2, x3 = x[r], x[r + 1], x[r + 2], x[r + 3]
        for o in range(0, columns - 1, 2):
            v, w = weight[o], weight[o + 1]
            v0 = v1 = v2 = v3 = w0 = w1 = w2 = w3 = _ZERO
            for i in range(inner):
                v0 += x0[i] * v[i]
                v1 += x1[i] * v[i]
                v2 += x2[i] * v[i]
                v3 += x3[i] * v[i]
                w0 += x0[i] * w[i]
                w1 += x1[i] * w[i]
                w2 += x2[i] * w[i]
                w3 += x3[i] * w[i]
            out[r, o] += v0
            out[r + 1, o] += v1
            out[r + 2, o] += v2
            out[r + 3, o] += v3
            out[r, o + 1] += w0
            out[r + 1, o + 1] += w1
            out[r + 2, o + 1] += w2
            out[r + 3, o + 1] += w3
    for o in range(columns):
        row = weight[o]
        for r in range(0 if o == columns - 1 and columns % 2 else blocked, rows):
            source = x[r]
            total = _ZERO
            for i in range(inner):
                total += row[i] * source[i]
            out[r, o] += total


@_dense(types.void(FLOAT32_ROWS, _LINE, _LINE, FLOAT32_ROWS))
def layer_norm(x, gain, bias, out):
    """Rows (R, D) to mean 0 and deviation 1, times `gain` plus `bias`."""
    width = x.shape[1]
    share = np.float32(1.0 / width)
    for r in range(x.shape[0]):
        source, target = x[r], out[r]
        mean = _ZERO
        for i in range(width):
            mean += source[i]
        mean *= share
        variance = _ZERO
        for i in range(width):
            variance += (source[i] - mean) * (source[i] - mean)
        scale = np.float32(1.0) / np.float32(math.sqrt(variance * share + np.float32(1e-5)))
        for i in range(width):
            target[i] = (source[i] - mean) * scale * gain[i] + bias[i]


@_dense(types.void(FLOAT32_ROWS))
def silu(x):
    """``x / (1 + exp(-x))`` in place, (R, D)."""
    for r in range(x.shape[0]):
        row = x[r]
        for i in range(row.shape[0]):
            row[i] = row[i] / (_ONE + _exp(-row[i]))


@_dense(types.void(FLOAT32_ROWS))
def squared_relu(x):
    """``max(x, 0) ** 2`` in place, (R, D)."""
    for r in range(x.shape[0]):
        row = x[r]
        for i in range(row.shape[0]):
            positive = max(row[i], _ZERO)
            row[i] = positive * positive


@_dense(types.void(FLOAT32_ROWS, FLOAT32_ROWS))
def gate(x, out):
    """First half of each row times the sigmoid of the second: (R, 2 D) -> (R, D)."""
    width = out.shape[1]
    for r in range(x.shape[0]):
        first, second, target = x[r, :width], x[r, width:], out[r]
        for i in range(width):
            target[i] = first[i] / (_ONE + _exp(-second[i]))


@_dense(types.void(FLOAT32_ROWS, FLOAT32_ROWS, _MATRIX, FLOAT32_ROWS))
def add_causal_depthwise(x, past, weight, out):
    """Add the depthwise convolution over frames, ``sum_i weight[i] * (past | x)[t + i]``, to `out` (T, D).

    `weight` (taps, D); `past` (taps - 1, D), brought up to date.
    """
    frames, width = x.shape
    taps = weight.shape[0]
    for t in range(frames):
        target = out[t]
        for tap in range(taps):
            frame = t + tap - (taps - 1)
            source = x[frame] if frame >= 0 else past[frame + taps - 1]
            factor = weight[tap]
            for i in range(width):
                target[i] += factor[i] * source[i]
    for row in range(taps - 1):
        frame = row - (taps - 1) + frames
        source = x[frame] if frame >= 0 else past[row + frames]
        target = past[row]
        for i in range(width):
            target[i] = source[i]


@_dense(types.void(FLOAT32_ROWS, _BLOCK, _MATRIX, types.int64, types.int64, FLOAT32_ROWS, FLOAT32_ROWS, FLOAT32_CUBE))
def ring_attention(projected, ring, table, first_column, position, scores, turned, out):
    """Both attentions of `rtsep.nn.attention.FrameAttention`, for a step of T frames over the ring.

    `projected` (T, 6 D): the queries of both, then keys and values of each. `ring` (2, H, capacity, E), H of both and
    D = H / 2 * E. `table` (H, columns): the bias of a key of age a (in frames, at the last query) for query t stands in
    column a + t + `first_column`. `position`: frames before the step. Scratch: `scores` (T, capacity), `turned`
    (E, capacity). `out` (H, T, E).
    """
    frames = projected.shape[0]
    heads, capacity, size = ring.shape[1], ring.shape[2], ring.shape[3]
    half = heads // 2
    width = half * size
    newest = position + frames - 1
    last_slot = newest % capacity
    written = min(newest + 1, capacity)
    root = np.float32(1.0 / math.sqrt(size))
    for h in range(heads):
        keys, values, bias, target = ring[0, h], ring[1, h], table[h], out[h]
        first = 2 * width + (h // half) * 2 * width + (h % half) * size
        for t in range(frames):
            slot = (position + t) % capacity
            for e in range(size):
                keys[slot, e] = projected[t, first + e]
                values[slot, e] = projected[t, first + width + e]
                target[t, e] = projected[t, h * size + e] * root  # the queries, until their place is needed
        for t in range(frames):
            row, column = scores[t], first_column + t
            for slot in range(capacity):
                age = last_slot - slot if slot <= last_slot else last_slot - slot + capacity
                row[slot] = bias[age + column] if age < written else np.float32(-np.inf)
        add_product(target, keys, scores)
        for t in range(frames):
            row = scores[t]
            most, total = row[0], _ZERO
            for slot in range(capacity):
                most = max(most, row[slot])
            for slot in range(capacity):
                row[slot] = _exp(row[slot] - most)
                total += row[slot]
            for slot in range(capacity):
                row[slot] /= total
            for e in range(size):
                target[t, e] = _ZERO
        if frames < 4:
            for t in range(frames):
                row, mixed = scores[t], target[t]
                for slot in range(capacity):
                    share, value = row[slot], values[slot]
                    for e in range(size):
                        mixed[e] += share * value[e]
        else:
            for slot in range(capacity):
                for e in range(size):
                    turned[e, slot] = values[slot, e]
            add_product(scores, turned, target)


@_dense(types.void(_CUBE, FLOAT32_ROWS))
def join_heads(x, out):
    """(H, T, E) -> (T, H * E)."""
    heads, frames, size = x.shape
    for t in range(frames):
        for h in range(heads):
            source, target = x[h, t], out[t, h * size : (h + 1) * size]
            for e in range(size):
                target[e] = source[e]


@_dense(types.void(_CUBE, types.int64, FLOAT32_ROWS))
def windows(x, stride, out):
    """Windows of 2 * stride bins, `stride` apart, zeros beyond the edges: (T, F, C) -> (T * F / stride, 2 stride C)."""
    frames, bins, channels = x.shape
    count = bins // stride
    for t in range(frames):
        for j in range(count):
            target = out[t * count + j]
            for i in range(2 * stride):
                bin_ = j * stride + i - stride // 2
                for c in range(channels):
                    target[i * channels + c] = x[t, bin_, c] if 0 <= bin_ < bins else _ZERO


@_dense(types.void(FLOAT32_ROWS, _LINE, types.int64, FLOAT32_CUBE))
def overlap_windows(x, bias, stride, out):
    """The reverse of `windows`, overlaps summed, plus `bias` (C,): (T * F, 2 stride C) -> (T, F stride, C)."""
    frames, bins, channels = out.shape
    count = bins // stride
    for t in range(frames):
        for f in range(bins):
            patch, offset = (f + stride // 2) // stride, (f + stride // 2) % stride
            target = out[t, f]
            for c in range(channels):
                target[c] = bias[c]
            if patch < count:
                first = x[t * count + patch, offset * channels : (offset + 1) * channels]
                for c in range(channels):
                    target[c] += first[c]
            if patch > 0:
                second = x[t * count + patch - 1, (offset + stride) * channels : (offset + stride + 1) * channels]
                for c in range(channels):
                    target[c] += second[c]


@_dense(types.void(_CUBE, FLOAT32_LINE, types.float32, _LINE, _LINE, types.float32, FLOAT32_CUBE))
def levels(magnitudes, energies, silence, mean, deviation, floor, out):
    """Logarithms of magnitudes over their running root mean square, standardised: (C, F, T) -> (T, F, C).

    `energies` (memory - 1,): mean squares of the frames before, brought up to date; those up to `silence` do not
    count. `mean` and `deviation` (F,). As `rtsep.nn.layers.RunningScale` and the network's `features`.
    """
    channels, bins, frames = magnitudes.shape
    for t in range(frames):
        energy = _ZERO
        for c in range(channels):
            for f in range(bins):
                energy += magnitudes[c, f, t] * magnitudes[c, f, t]
        energy /= np.float32(channels * bins)
        energy = energy if energy > silence or energy != energy else _ZERO
        total, sounding = energy, np.float32(energy > _ZERO)
        for i in range(energies.shape[0]):
            total += energies[i]
            sounding += np.float32(energies[i] > _ZERO)
        for i in range(energies.shape[0] - 1):
            energies[i] = energies[i + 1]
        if energies.shape[0] > 0:
            energies[energies.shape[0] - 1] = energy
        scale = np.float32(math.sqrt(total / sounding)) if total != _ZERO else _ONE
        for f in range(bins):
            for c in range(channels):
                level = np.float32(math.log(magnitudes[c, f, t] / scale + floor))
                out[t, f, c] = (level - mean[f]) / deviation[f]


@_dense(types.void(_CUBE, _CUBE, _CUBE, _BLOCK))
def line_masks(line, detail, high, out):
    """Masks that sum to one over the stems, from a straight line over each bin's own level.

    `line` (T, F / stride, 2 S stride C): offsets of all stems, then slopes. `detail` (T, F, C); `high` (T, S, C):
    logits of the band above; `out` (T, S, C, F + 1).
    """
    frames, bins, channels = detail.shape
    stems = out.shape[1]
    stride = bins // line.shape[1]
    slopes = stems * stride * channels
    for t in range(frames):
        for c in range(channels):
            for f in range(bins + 1):
                most = np.float32(-np.inf)
                for s in range(stems):
                    if f < bins:
                        place = (s * stride + f % stride) * channels + c
                        row = line[t, f // stride]
                        logit = row[place] + row[slopes + place] * detail[t, f, c]
                    else:
                        logit = high[t, s, c]
                    out[t, s, c, f] = logit
                    most = max(most, logit)
                total = _ZERO
                for s in range(stems):
                    share = _exp(out[t, s, c, f] - most)
                    out[t, s, c, f] = share
                    total += share
                for s in range(stems):
                    out[t, s, c, f] /= total
