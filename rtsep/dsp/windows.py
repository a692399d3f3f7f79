"""Analysis and synthesis windows and the normaliser of their overlap-add."""

import numpy as np
from numpy.typing import NDArray


def hann_periodic(length: int) -> NDArray[np.float32]:
    """Return the periodic Hann window, shape (length,).

    Periodic (not symmetric): shifted copies at a hop of length/4 sum to a constant exactly.
    """
    if length < 1:
        raise ValueError(f"window length must be at least 1, got {length}")
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def overlap_add_gain(analysis: NDArray[np.float32], synthesis: NDArray[np.float32], hop: int) -> NDArray[np.float32]:
    """Return the factor, shape (hop,), that makes windowed overlap-add give the input back.

    A sample at offset i of its hop is the sum over all frames that cover it of
    ``x * analysis * synthesis``, so it must be divided by the sum of ``analysis * synthesis`` at i, i + hop, ...

    Raises:
        ValueError: the windows differ in length, the hop does not divide it, or some sample is covered by nothing.
    """
    if analysis.shape != synthesis.shape or analysis.ndim != 1:
        raise ValueError(f"windows must be 1-d and equally long, got {analysis.shape} and {synthesis.shape}")
    if hop < 1 or len(analysis) % hop:
        raise ValueError(f"hop {hop} must divide the window length {len(analysis)}")
    product = analysis.astype(np.float64) * synthesis.astype(np.float64)
    total = product.reshape(-1, hop).sum(axis=0)
    if total.min() <= 1e-6:
        raise ValueError(f"windows leave samples uncovered at hop {hop}")
    return (1.0 / total).astype(np.float32)
