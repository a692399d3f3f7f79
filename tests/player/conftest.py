"""What several tests of the player share."""

from __future__ import annotations

import pytest

from rtsep.dsp.deck import Deck, DeckLayout


@pytest.fixture
def deck() -> Deck:
    """A deck of one stem in this process's memory, nothing in its rings."""
    layout = DeckLayout(stems=("vocals",))
    made = Deck(layout, bytearray(layout.nbytes))
    made.initialise()
    return made
