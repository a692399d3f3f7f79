"""The grid on which all sound is addressed; engine, player and callback count in it."""

SAMPLE_RATE = 44100
N_FFT = 4096
HOP = 1024
SUPPORT_HOPS = N_FFT // HOP - 1
"""Hops by which synthesis lags behind the input: a hop is complete with the last frame that covers it."""
FADE = 64
"""Samples of every cross-fade; a block is on time only when this many beyond it exist, so that one can be made."""
