"""Faders: what a stem is set to, and the range of every gain."""

from __future__ import annotations

from dataclasses import dataclass

MIN_GAIN_DB, MAX_GAIN_DB = -60.0, 12.0


@dataclass
class Fader:
    """One stem's settings. `gain_db` may be minus infinity."""

    gain_db: float = 0.0
    muted: bool = False
    solo: bool = False

    @property
    def silent(self) -> bool:
        """Whether it is muted or at the bottom."""
        return self.muted or self.gain_db == float("-inf")


def db_to_linear(gain_db: float) -> float:
    """20 dB are a factor of ten; minus infinity is 0."""
    return 10.0 ** (gain_db / 20.0)
