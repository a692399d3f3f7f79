"""Faders: the settings of a stem, and the range of all gains."""

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
    """Return the factor of an amplitude; minus infinity dB is 0."""
    return 10.0 ** (gain_db / 20.0)
