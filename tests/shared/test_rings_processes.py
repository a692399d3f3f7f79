"""Writer and reader in two processes over nameless shared memory, racing: no wrong sample is ever taken for right."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from rtsep.shared.atomics import load_i64
from rtsep.shared.rings import BEGIN, END, EPOCH, copy_if_valid
from rtsep.shared.state import SharedLayout, SharedState
from tests.shared import state_peer as state_peer
from tests.shared.state_peer import code, random_below

CAPACITY = 2048


@njit(nogil=True)
def copy_without_second_look(header, data, position, out, count, epoch):
    """What the reader would be without its protocol."""
    if load_i64(header, EPOCH) != epoch:
        return False
    if position < load_i64(header, BEGIN) or position + count > load_i64(header, END):
        return False
    for row in range(data.shape[0]):
        for i in range(count):
            out[row, i] = data[row, (position + i) & (data.shape[1] - 1)]
    return True


@njit(nogil=True)
def race(header, data, out, epoch, sign, tries, state, careful, result):
    """Read random pieces and check every accepted sample. `result`: accepted, refused, wrong samples."""
    for _ in range(tries):
        count = random_below(state, 900) + 1
        position = load_i64(header, BEGIN) + random_below(state, data.shape[1] - count + 16)
        if careful:
            accepted = copy_if_valid(header, data, position, out, count, epoch)
        else:
            accepted = copy_without_second_look(header, data, position, out, count, epoch)
        if accepted:
            result[0] += 1
            for i in range(count):
                if out[0, i] != code(position + i) or out[1, i] != sign * code(epoch):
                    result[2] += 1
        else:
            result[1] += 1


@pytest.fixture(scope="module")
def racing_deck() -> Iterator[SharedState]:
    shared = SharedState.create(SharedLayout(("only",), mixture_capacity=CAPACITY, stem_capacity=CAPACITY))
    peer = state_peer.start(shared, hold_back=False, seed=1)
    yield shared
    assert peer.poll() is None, "the other process died"
    assert peer.stdin is not None
    peer.stdin.close()
    assert peer.wait(timeout=20) == 0
    shared.close()


EPOCHS = iter(range(1, 1 << 30))


@settings(max_examples=60, deadline=None)
@given(
    seeks=st.lists(
        st.tuples(st.integers(-(2**40), 2**40), st.integers(1, 400), st.booleans()), min_size=1, max_size=12
    ),
    seed=st.integers(0, 2**30),
)
def test_no_sample_of_a_wrong_epoch_or_position_is_accepted(racing_deck, seeks, seed) -> None:
    out = np.zeros((2, 1024), np.float32)
    state = np.array([seed])
    result = np.zeros(3, np.int64)
    for target, tries, of_stem in seeks:
        epoch = next(EPOCHS)
        racing_deck.transport.post(target, epoch, 0)
        ring, sign = (racing_deck.stem, -1.0) if of_stem else (racing_deck.mixture, 1.0)
        # The old epoch while it is being torn down, then the new one as it comes up.
        for wanted in (epoch - 1, epoch):
            race(ring.fields, ring.data, out, wanted, np.float32(sign), tries, state, True, result)
    assert result[2] == 0


def test_the_race_is_one_that_a_careless_reader_loses(racing_deck) -> None:
    # Otherwise the test above proves nothing. The careful reader takes part in the very same race.
    out = np.zeros((2, 1024), np.float32)
    state = np.array([7])
    careful, careless = np.zeros(3, np.int64), np.zeros(3, np.int64)
    ring = racing_deck.mixture
    deadline = time.monotonic() + 30
    while careless[2] < 1000 or careful[0] < 20_000:
        assert time.monotonic() < deadline, f"no race: careful {careful}, careless {careless}"
        epoch = next(EPOCHS)
        racing_deck.transport.post(-1000, epoch, 0)
        for _ in range(20):
            race(ring.fields, ring.data, out, epoch, np.float32(1), 500, state, True, careful)
            race(ring.fields, ring.data, out, epoch, np.float32(1), 500, state, False, careless)
    assert careful[2] == 0
    assert careful[1] > 0


def test_headers_read_in_the_race_are_of_one_epoch(racing_deck) -> None:
    # The peer restarts the stem ring of epoch e at START = BEGIN = target; the target says which epoch it was.
    for _ in range(3000):
        epoch = next(EPOCHS)
        racing_deck.transport.post(epoch << 20, epoch, 0)
        header = racing_deck.stem.header()
        if header.epoch > 0 and header.start >> 20 > 0:
            assert header.start >> 20 == header.epoch
            assert header.begin <= header.end
