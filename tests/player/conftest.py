"""What several tests of the player share."""

from __future__ import annotations

import pytest

from rtsep.shared.state import SharedLayout, SharedState


@pytest.fixture
def shared() -> SharedState:
    """A shared state of one stem in this process's memory, nothing in its rings."""
    layout = SharedLayout(stems=("vocals",))
    made = SharedState(layout, bytearray(layout.nbytes))
    made.initialise()
    return made
