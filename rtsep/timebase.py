"""The grid on which all sound is addressed; engine, player and callback count in it."""

SAMPLE_RATE = 44100
N_FFT = 4096
HOP = 1024
SUPPORT_HOPS = N_FFT // HOP - 1
"""Hops before its own that an analysis window reaches back: so many fill it before the first whole frame."""
LATENCY_HOPS_SAVED = {"standard": 0, "medium": 1, "low": 2}
"""The latency modes: hops by which synthesis gives up waiting for later frames."""
RESERVE_S = {"standard": 0.010, "medium": 0.002, "low": 0.002}
"""By latency mode: how long everything may stand still before live sound suffers. So much time beyond what they need is
given to the stems, and so much sound beyond a block lies in the output. Virtual machines and laptops take it."""
FADE = 64
"""Samples of every cross-fade; a block is on time only when this many beyond it exist, so that one can be made."""


def synthesis_support(latency: str, n_fft: int = N_FFT, hop: int = HOP) -> int:
    """Samples of the synthesis window in a latency mode: standard is the whole frame, none is less than two hops."""
    return max(n_fft - LATENCY_HOPS_SAVED[latency] * hop, 2 * hop)
