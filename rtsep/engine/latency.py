"""The latency of the separated sound, in samples at 44 100 Hz, in parts: algorithmic, margin, device, practice."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from rtsep.timebase import FADE, HOP, N_FFT


@dataclass(frozen=True)
class Latency:
    """In samples. `algorithmic`: on any machine; `margin`: for this machine's jitter; `device`: the sound devices';
    `practice`: what changing speed or key adds, for songs only."""

    algorithmic: int
    margin: int
    device: int
    practice: int = 0

    @property
    def total(self) -> int:
        return self.algorithmic + self.margin + self.device + self.practice


def algorithmic_latency(chunk: int, block: int, *, lookahead: int = 0, support: int = N_FFT, hop: int = HOP) -> int:
    """Return the samples between a sound's input and its separated output that no faster machine can save.

    When the callback plays [p, p + B), the stems must be ready up to p + B + FADE. Stems end `support - hop` and the
    lookahead behind the last whole chunk of K hops. Sound comes in blocks of B too, so the samples of an
    unfinished chunk, which must be waited for, are a multiple of g = gcd(B, K * hop): up to K * hop - g.
    The play head stays this far behind the captured sound; it need not stand on a multiple of anything.

    Args:
        chunk: K, frames a step.
        block: B, samples a callback.
        lookahead: the network's, in frames.
        support: samples of the synthesis window.
    """
    if chunk < 1 or block < 1:
        raise ValueError(f"expected chunk >= 1 and block >= 1, got {chunk} and {block}")
    return support + (chunk - 1 + lookahead) * hop + block - gcd(block, chunk * hop) + FADE
