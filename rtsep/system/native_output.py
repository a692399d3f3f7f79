"""Keeps messages of C libraries about their devices off the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def libraries_silenced() -> Iterator[None]:
    """Within, only Python's stderr reaches the terminal; what C libraries write to descriptor 2 is discarded.

    PortAudio and JACK report a device that dies, from any thread, in cryptic lines that no setting turns off;
    sounddevice itself closes the descriptor for a moment whenever it starts PortAudio.
    """
    ours = sys.stderr
    ours.flush()
    screen = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    with os.fdopen(screen, "w", encoding=ours.encoding, errors=ours.errors, buffering=1) as kept:
        if _descriptor(ours) == 2:
            sys.stderr = kept
        try:
            yield
        finally:
            sys.stderr = ours
            kept.flush()
            os.dup2(screen, 2)


def _descriptor(stream: object) -> int:
    try:
        return stream.fileno()  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):
        return -1
