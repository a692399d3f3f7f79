"""Spleeter's U-net in plain NumPy, on TensorFlow's variables in TensorFlow's layout: (time, frequency, channel)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.floating]
Variables = dict[str, NDArray[np.float32]]
EPSILON = 1e-10


def leaky_relu(x: Float) -> Float:
    return np.where(x > 0, x, 0.2 * x)


def relu(x: Float) -> Float:
    return np.maximum(x, 0)


def elu(x: Float) -> Float:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def name(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's rule: as many outputs as strides, and the odd sample of padding behind."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def convolve(x: Float, kernel: Float, bias: Float, stride: int = 1, dilation: int = 1) -> Float:
    """(T, F, I) with (kernel, kernel, I, O) -> (T / stride, F / stride, O)."""
    sizes = [-(-size // stride) for size in x.shape[:2]]
    padding = [same_padding(size, kernel.shape[0], stride, dilation) for size in x.shape[:2]]
    padded = np.pad(x, [*padding, (0, 0)])
    out = np.zeros((*sizes, kernel.shape[3])) + bias
    for t in range(kernel.shape[0]):
        for f in range(kernel.shape[1]):
            rows = slice(t * dilation, t * dilation + (sizes[0] - 1) * stride + 1, stride)
            columns = slice(f * dilation, f * dilation + (sizes[1] - 1) * stride + 1, stride)
            out += padded[rows, columns] @ kernel[t, f]
    return out


def convolve_transposed(x: Float, kernel: Float, bias: Float) -> Float:
    """(T, F, I) with (kernel, kernel, O, I) -> (2 T, 2 F, O): what a stride of 2 does to gradients."""
    rows, columns = x.shape[:2]
    before = same_padding(2 * rows, kernel.shape[0], 2)[0]
    full = np.zeros((2 * rows + 3, 2 * columns + 3, kernel.shape[2]))
    for t in range(kernel.shape[0]):
        for f in range(kernel.shape[1]):
            full[t : t + 2 * rows : 2, f : f + 2 * columns : 2] += x @ kernel[t, f].T
    return full[before : before + 2 * rows, before : before + 2 * columns] + bias


def random_variables(stems: int, filters: tuple[int, ...], seed: int = 1) -> Variables:
    """Every variable of so many U-nets on two channels, none of them at a value that hides a mistake."""
    random = np.random.default_rng(seed)
    levels = len(filters)
    into, out = (2, *filters), (*reversed(filters[:-1]), 1)
    joined = (filters[-1], *(2 * size for size in out[:-1]))
    variables: Variables = {}

    def layer(path: str, shape: tuple[int, ...], fan_in: int, channels: int) -> None:
        variables[f"{path}/kernel"] = (random.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
        variables[f"{path}/bias"] = 0.1 * random.standard_normal(channels).astype(np.float32)

    def norm(path: str, channels: int) -> None:
        for kind in ("gamma", "moving_variance"):
            variables[f"{path}/{kind}"] = random.uniform(0.5, 2, channels).astype(np.float32)
        for kind in ("beta", "moving_mean"):
            variables[f"{path}/{kind}"] = 0.2 * random.standard_normal(channels).astype(np.float32)

    for stem in range(stems):
        for i in range(levels):
            layer(name("conv2d", (levels + 1) * stem + i), (5, 5, into[i], filters[i]), 25 * into[i], filters[i])
            norm(name("batch_normalization", 2 * levels * stem + i), filters[i])
        for i in range(levels):
            path = name("conv2d_transpose", levels * stem + i)
            layer(path, (5, 5, out[i], joined[i]), 6 * joined[i], out[i])
            norm(name("batch_normalization", 2 * levels * stem + levels + i), out[i])
        layer(name("conv2d", (levels + 1) * stem + levels), (4, 4, 1, 2), 4, 2)
    variables["global_step"] = np.array(150, np.int64)  # type: ignore[assignment]
    return variables


def logits(
    variables: Variables,
    stem: int,
    levels: int,
    x: Float,
    activate_down: Callable[[Float], Float] = leaky_relu,
    activate_up: Callable[[Float], Float] = relu,
) -> Float:
    """(T, F, 2) of the U-net of one stem, before the sigmoid."""

    def weights(path: str) -> tuple[Float, Float]:
        return variables[f"{path}/kernel"].astype(np.float64), variables[f"{path}/bias"].astype(np.float64)

    def norm(number: int, x: Float) -> Float:
        path = name("batch_normalization", 2 * levels * stem + number)
        scale = variables[f"{path}/gamma"] / np.sqrt(variables[f"{path}/moving_variance"] + 1e-3)
        return (x - variables[f"{path}/moving_mean"]) * scale + variables[f"{path}/beta"]

    skips: list[Float] = []
    for i in range(levels):
        if i:
            x = activate_down(norm(i - 1, x))
        x = convolve(x, *weights(name("conv2d", (levels + 1) * stem + i)), stride=2)
        skips.append(x)
    skips.pop()
    for i in range(levels):
        x = convolve_transposed(x, *weights(name("conv2d_transpose", levels * stem + i)))
        x = norm(levels + i, activate_up(x))
        if skips:
            x = np.concatenate([skips.pop(), x], axis=2)
    return convolve(x, *weights(name("conv2d", (levels + 1) * stem + levels)), dilation=2)


def masks(estimates: list[Float], exponent: float = 2) -> list[Float]:
    """The ratio masks of the magnitudes that the stems' networks estimate."""
    total = sum(estimate**exponent for estimate in estimates) + EPSILON
    return [(estimate**exponent + EPSILON / len(estimates)) / total for estimate in estimates]
