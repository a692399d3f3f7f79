"""The deck: one layout for every process, writers apart from each other, words that say what they mean."""

import dataclasses
import itertools
import subprocess
import sys

import numpy as np
import pytest

from rtsep.dsp import words as at
from rtsep.dsp.atomics import store_i64
from rtsep.dsp.deck import Deck, DeckLayout
from rtsep.dsp.rings import NO_EOF, NO_EPOCH, RingHeader
from rtsep.dsp.words import LINE_BYTES, Kind, WorkerState

SMALL = DeckLayout(("vocals", "instrumental"), mixture_capacity=1024, stem_capacity=512)


def spans(deck: Deck) -> dict[str, tuple[int, int]]:
    """Bytes of every part within the block."""
    parts = {
        "mixture header": deck.mixture.words,
        "stem header": deck.stem.words,
        "transport": deck.transport.words,
        "gains": deck.transport.gains,
        "callback": deck.callback.words,
        "worker": deck.worker.words,
        "times": deck.worker.times,
        "mixture": deck.mixture.data,
        "stems": deck.stem.data,
        "kept header": deck.kept.words,
        "kept": deck.kept.data,
    }
    base = deck.mixture.words.ctypes.data
    return {name: (a.ctypes.data - base, a.ctypes.data - base + a.nbytes) for name, a in parts.items()}


@pytest.mark.parametrize(
    "layout", [SMALL, DeckLayout(("one",)), DeckLayout(tuple("abcdefgh"), mixture_capacity=8, stem_capacity=16)]
)
def test_parts_do_not_overlap_nor_share_a_cache_line(layout) -> None:
    deck = Deck.create(layout)
    parts = sorted(spans(deck).values())
    for (_, end), (begin, _) in itertools.pairwise(parts):
        assert begin % LINE_BYTES == 0
        assert begin >= end
    assert parts[-1][1] == layout.nbytes
    assert deck.mixture.data.ctypes.data % 4096 == 0
    assert deck.stem.data.ctypes.data % 4096 == 0
    assert deck.stem.data.shape == (2 * len(layout.stems), layout.stem_capacity)
    deck.close()


def test_the_layout_travels_as_json() -> None:
    again = DeckLayout.from_json(SMALL.to_json())
    assert again == SMALL
    assert again.nbytes == SMALL.nbytes
    assert dataclasses.asdict(again)["stems"] == ("vocals", "instrumental")


def test_impossible_layouts_are_refused() -> None:
    with pytest.raises(ValueError, match="1 to 8 stems"):
        DeckLayout(())
    with pytest.raises(ValueError, match="1 to 8 stems"):
        DeckLayout(tuple("abcdefghi"))
    with pytest.raises(ValueError, match="stereo"):
        DeckLayout(("a",), channels=1)
    with pytest.raises(ValueError, match="power of two"):
        Deck(DeckLayout(("a",), mixture_capacity=1000), bytearray(10**7))
    with pytest.raises(ValueError, match="deck needs"):
        Deck(SMALL, bytearray(SMALL.nbytes - 1))


def test_a_new_deck_is_silent_and_of_no_epoch() -> None:
    deck = Deck.create(SMALL)
    assert deck.mixture.header() == deck.stem.header() == RingHeader(NO_EPOCH, 0, 0, NO_EOF, 0)
    head = deck.callback.read()
    assert (head.epoch, head.position, head.kind, head.ended, head.ack) == (NO_EPOCH, 0, Kind.SILENT, False, 0)
    assert not deck.transport.playing
    assert not deck.transport.bypass
    assert [deck.transport.gain(stem) for stem in range(8)] == [1.0] * 8
    assert deck.transport.master == 1.0
    assert deck.worker.state == WorkerState.STARTING
    assert len(deck.worker.recent_times()) == 0
    deck.close()


CHILD = """
import sys
import numpy as np
from rtsep.dsp.deck import Deck, DeckLayout
from rtsep.dsp.words import WorkerState
deck = Deck.attach(DeckLayout.from_json(sys.argv[2]), int(sys.argv[1]))
assert deck.transport.playing and deck.transport.gain(1) == 0.5
deck.worker.state = WorkerState.RUNNING
deck.worker.hops = 2**40
for i in range(5000):
    deck.worker.add_time(i / 2)
deck.stem.restart(4, 100, 100)
deck.stem.write(np.full((4, 10), 0.25, np.float32))
"""


def test_a_worker_in_another_process_reads_and_writes_its_words() -> None:
    deck = Deck.create(SMALL)
    deck.transport.playing = True
    deck.transport.set_gain(1, 0.5)
    assert deck.block is not None
    command = [sys.executable, "-c", CHILD, str(deck.block.fd), SMALL.to_json()]
    subprocess.run(command, pass_fds=[deck.block.fd], check=True)
    assert WorkerState(deck.worker.state) is WorkerState.RUNNING
    assert deck.worker.hops == 2**40
    np.testing.assert_array_equal(deck.worker.recent_times(), np.arange(904, 5000) / 2)
    out = np.zeros((4, 10), np.float32)
    assert deck.stem.read(100, out, 4)
    assert (out == 0.25).all()
    deck.close()
    deck.close()


def test_words_set_are_words_read() -> None:
    deck = Deck.create(SMALL)
    deck.transport.playing = True
    deck.transport.bypass = True
    deck.transport.master = 0.25
    assert deck.transport.playing
    assert deck.transport.bypass
    assert deck.transport.master == 0.25
    deck.transport.bypass = False
    assert not deck.transport.bypass
    for name in ("chunk", "late_hops", "skipped_hops", "heartbeat"):
        setattr(deck.worker, name, 12)
        assert getattr(deck.worker, name) == 12
    for stem in (-1, 8):
        with pytest.raises(ValueError, match="stem number"):
            deck.transport.set_gain(stem, 1.0)
        with pytest.raises(ValueError, match="stem number"):
            deck.transport.gain(stem)
    deck.close()


def test_the_play_head_has_a_name_for_every_word() -> None:
    deck = Deck.create(SMALL)
    for index in range(at.POSITION, at.BYPASS_SAMPLES + 1):
        store_i64(deck.callback.words, index, 1000 + index)
    store_i64(deck.callback.words, at.KIND, Kind.DRY)
    store_i64(deck.callback.words, at.ENDED, 1)
    head = deck.callback.read()
    assert (head.position, head.epoch, head.ack, head.kind, head.ended) == (1001, 1002, 1003, Kind.DRY, True)
    assert (head.blocks, head.frames, head.late_blocks) == (1006, 1007, 1008)
    assert (head.dry_samples, head.starved_samples, head.clipped_samples) == (1009, 1010, 1011)
    assert (head.wet_samples, head.max_block, head.bypass_samples) == (1012, 1013, 1014)
    assert (deck.callback.position, deck.callback.frames, deck.callback.ack) == (1001, 1007, 1003)
    deck.close()


def test_a_callback_that_died_while_writing_is_still_read() -> None:
    deck = Deck.create(SMALL)
    store_i64(deck.callback.words, at.POSITION, 77)
    store_i64(deck.callback.words, at.SEQUENCE, 5)
    assert deck.callback.read().position == 77
    deck.close()
