"""What every decoder of audio files does."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import RtsepError


class Decoder(Protocol):
    """An open file: frames at its own rate and channels, counted from 0.

    What is damaged is silence of the right length, so that all else stays in its place.

    Attributes:
        frames: how many there are, None while unknown; corrected at the end.
        ogg_order: whether surround channels come in the order of Ogg rather than WAV.
        truncated: one clause once it is known that the file ends too early, else None.
        notes: clauses about damage and oddities, as they are met.
    """

    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def frames(self) -> int | None: ...
    @property
    def ogg_order(self) -> bool: ...
    @property
    def truncated(self) -> str | None: ...
    @property
    def notes(self) -> list[str]: ...

    def read(self, frames: int) -> NDArray[np.float32]:
        """The next frames, float32 (n, channels); n < frames only at the end, n = 0 from then on."""
        ...

    def seek(self, frame: int) -> None:
        """The next read begins with this frame, exactly. Beyond the end nothing more comes."""
        ...

    def close(self) -> None: ...


def unreadable(path: Path, remedy: str = "") -> RtsepError:
    """The error for a file in which no decoder finds sound."""
    return RtsepError(f"{path} cannot be read: it is cut off, damaged or not an audio file{remedy}")


def ended_early(found_s: float, stated_s: float) -> str:
    """The clause for a file whose header states more than there is."""
    return f"its header states {stated_s:.2f} s, but it ends after {found_s:.2f} s"


def cut_off(found_s: float) -> str:
    """The clause for a file that ends in the middle of something."""
    return f"cut off after {found_s:.2f} s"


def damaged(at_s: float, lost_s: float) -> str:
    """The clause for a place whose sound is lost."""
    return f"damaged at {at_s:.2f} s" + (f", {lost_s:.2f} s are silent" if lost_s >= 0.005 else "")
