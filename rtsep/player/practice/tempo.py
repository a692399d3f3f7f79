"""Speed and key of a player: what may be asked for, and the stage that does it."""

from __future__ import annotations

from collections.abc import Callable

from rtsep.errors import UsageError
from rtsep.player.practice.limits import MAX_KEY, MAX_SPEED, MIN_SPEED, check_key, check_speed
from rtsep.player.practice.stage import PracticeStage
from rtsep.shared.state import SharedState


class Tempo:
    """The part of a player that changes speed and key.

    Args:
        shared: what is played.
        on_look: called some fifty times a second or more often, by a thread of its own.
        refusal: why this cannot be done here, in one line; None where it can.

    Both are changed without a gap, and act when what was made ahead has been played (`speed_delay`).
    """

    def __init__(self, shared: SharedState, refusal: str | None, on_look: Callable[[], object]) -> None:
        self._refusal = refusal
        self._stage = PracticeStage(shared, on_look)
        self._stage.start()  # only now: `on_look` may ask for `speed_delay`

    @property
    def speed(self) -> float:
        """0.25 to 2; 2 is twice as fast."""
        return self._stage.speed

    @property
    def key(self) -> float:
        """In semitones from the song's own, -12 to 12; cents are fractions."""
        return self._stage.key

    @property
    def speed_delay(self) -> int:
        """Samples of the output by which faders act later while speed or key are changed; 0 otherwise."""
        return self._stage.delay

    def set_speed(self, speed: float) -> None:
        """Play faster or slower in the same key. ArgumentError if out of range, UsageError if not possible here."""
        self._set(check_speed(speed), self.key)

    def change_speed(self, step: float) -> None:
        """Change the speed by a step, as far as it goes."""
        self._set(min(max(round(self.speed + step, 4), MIN_SPEED), MAX_SPEED), self.key)

    def set_key(self, key: float) -> None:
        """Play in another key at the same speed. Errors as of `set_speed`."""
        self._set(self.speed, check_key(key))

    def change_key(self, step: float) -> None:
        """Change the key by a step in semitones, as far as it goes."""
        self._set(self.speed, min(max(round(self.key + step, 4), -MAX_KEY), MAX_KEY))

    def check_practice(self) -> None:
        """Raise UsageError if speed and key cannot be changed here."""
        if self._refusal is not None:
            raise UsageError(self._refusal)

    def _set(self, speed: float, key: float) -> None:
        if (speed, key) != (1.0, 0.0):
            self.check_practice()
        self._stage.set(speed, key)
