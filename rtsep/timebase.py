"""Sample rate, hop, window and fade: the units in which all positions are counted."""

SAMPLE_RATE = 44100
N_FFT = 4096
HOP = 1024
SUPPORT_HOPS = N_FFT // HOP - 1
"""Hops before its own that an analysis window covers; so many fill it before the first complete frame."""
LATENCY_HOPS_SAVED = {"standard": 0, "medium": 1, "low": 2}
"""By latency mode: hops by which the synthesis window is shorter than the frame."""
RESERVE_S = {"standard": 0.010, "medium": 0.002, "low": 0.002}
"""By latency mode: how long the machine may stall before live sound suffers, in seconds. The stems get so much more
time than they need, and the output buffers so much more than a block. Virtual machines and laptops need it."""
FADE = 64
"""Samples of every cross-fade; a block is on time only when this many beyond it exist, so that one can be made."""


def synthesis_support(latency: str, n_fft: int = N_FFT, hop: int = HOP) -> int:
    """Samples of the synthesis window in a latency mode: standard is the whole frame, none is less than two hops."""
    return max(n_fft - LATENCY_HOPS_SAVED[latency] * hop, 2 * hop)
