"""The analysis window, and the synthesis windows that undo it with less or more latency."""

import numpy as np
from numpy.typing import NDArray


def hann_periodic(length: int) -> NDArray[np.float32]:
    """Return the periodic Hann window, shape (length,).

    Periodic (not symmetric): shifted copies at a hop of length/4 sum to a constant exactly.
    """
    if length < 1:
        raise ValueError(f"window length must be at least 1, got {length}")
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def synthesis_window(analysis: NDArray[np.float32], hop: int, support: int) -> NDArray[np.float32]:
    """Return the window, shape (support,), under which the last `support` samples of frames overlap-add to the input.

    The products of both windows at i, i + hop, ... sum to one for every i. A sample is complete with the last frame
    whose support covers it, so that it waits `support` samples from its entry at most, whatever the frame's length.

    On its support the window is proportional to the analysis window, which is the least-squares inverse of modified
    spectra (Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984). With a support
    shorter than the frame it would begin with a step, and a step is heard wherever masks change: sound below 1.5 kHz
    came out above 5 kHz at -47 dB. A Hann rise over an eighth of a hop leaves nothing of that (-80 dB, as with the
    whole frame) and costs less than 0.1 dB of SDR.

    Frames of Hann 4096 at hop 1024 were weighed against asymmetric pairs, whose analysis rises for long and falls over
    half of the support (Mauler and Martin, "A low delay, variable resolution, perfect reconstruction spectral
    analysis-synthesis system", 2007). Lost against standard, means of five excerpts of 25 to 30 s, in dB of SDR:

        support                           3072    2048
        ideal ratio masks, asymmetric     0.39    1.72
        ideal ratio masks, this           0.04    0.70
        a network of 6.7 dB, asymmetric   0.07    0.51
        a network of 6.7 dB, this         0.02    0.39

    It trusts the newest frame sooner, for whose middle the masks are best; it applies masks to the very spectra that
    they were estimated from; and a second window would cost a second transform.

    Raises:
        ValueError: the hop does not divide both lengths, the support is not 2 hops to a frame long, or some sample is
            covered by nothing.
    """
    length = len(analysis)
    if hop < 1 or length % hop or support % hop:
        raise ValueError(f"hop {hop} must divide the window length {length} and the support {support}")
    if not 2 * hop <= support <= length:
        raise ValueError(f"expected a support of {2 * hop} to {length} samples, got {support}")
    window = analysis[length - support :].astype(np.float64)
    if support < length:
        rise = max(hop // 8, 1)
        window[:rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    total = (window * analysis[length - support :]).reshape(-1, hop).sum(axis=0)
    if total.min() <= 1e-6:
        raise ValueError(f"windows leave samples uncovered at hop {hop}")
    return (window / np.tile(total, support // hop)).astype(np.float32)
