"""One ring in one process: what may be read, what may not, in pieces of any length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.shared.rings import NO_EOF, NO_EPOCH, Ring, RingHeader

CAPACITY = 64


def samples(begin: int, count: int, rows: int = 2) -> np.ndarray:
    """Row r of position p is ``p + r / 4``."""
    return (np.arange(begin, begin + count) + np.arange(rows)[:, None] / 4).astype(np.float32)


@given(
    begin=st.integers(-1000, 1000),
    writes=st.lists(st.integers(0, CAPACITY), max_size=20),
    reads=st.lists(st.tuples(st.integers(-80, 80), st.integers(0, CAPACITY + 3)), max_size=20),
)
def test_exactly_the_newest_samples_can_be_read_however_they_were_written(begin, writes, reads) -> None:
    ring = Ring.private(2, CAPACITY)
    ring.restart(7, begin, begin)
    end = begin
    for count in writes:
        ring.write(samples(end, count))
        end += count
    assert ring.header() == RingHeader(7, max(begin, end - CAPACITY), end, NO_EOF, begin)
    assert (ring.epoch, ring.begin, ring.end) == (7, max(begin, end - CAPACITY), end)
    for offset, count in reads:
        position = end + offset
        out = np.full((2, count), np.nan, np.float32)
        there = ring.begin <= position and position + count <= end
        assert ring.read(position, out, 7) == there
        if there:
            np.testing.assert_array_equal(out, samples(position, count))
        assert not ring.read(position, out, 6)
        assert not ring.read(position, out, NO_EPOCH)


def test_a_slice_of_any_strides_can_be_written_and_read() -> None:
    ring = Ring.private(2, CAPACITY)
    ring.restart(1, 0, 0)
    wide = np.zeros((5, 40), np.float32)
    wide[1:5:3, ::2] = samples(0, 20)
    source = wide[1:5:3, ::2]
    source.flags.writeable = False
    ring.write(source)
    target = np.zeros((2, 60), np.float32)
    assert ring.read(3, target[:, 10:21], 1)
    np.testing.assert_array_equal(target[:, 10:21], samples(3, 11))
    assert not target[:, :10].any()
    assert not target[:, 21:].any()


def test_a_fresh_or_cleared_ring_holds_no_epoch() -> None:
    ring = Ring.private(1, CAPACITY)
    assert ring.header() == RingHeader(NO_EPOCH, 0, 0, NO_EOF, 0)
    ring.restart(0, 0, 0)
    ring.write(np.ones((1, 4), np.float32))
    assert ring.read(0, np.zeros((1, 4), np.float32), 0)
    ring.clear()
    assert not ring.read(0, np.zeros((1, 4), np.float32), 0)
    assert not ring.read(0, np.zeros((1, 0), np.float32), NO_EPOCH)


def test_a_restart_forgets_samples_and_eof_also_within_the_same_epoch() -> None:
    ring = Ring.private(2, CAPACITY)
    for begin in (0, 5):
        ring.restart(3, begin, begin + 10)
        assert ring.header() == RingHeader(3, begin, begin, NO_EOF, begin + 10)
        assert not ring.read(begin, np.zeros((2, 1), np.float32), 3)
        ring.write(samples(begin, 30))
        ring.finish(25)
        assert ring.header() == RingHeader(3, begin, begin + 30, 25, begin + 10)


def test_a_start_before_begin_is_refused() -> None:
    with pytest.raises(ValueError, match="start 4 lies before begin 5"):
        Ring.private(1, 8).restart(0, 5, 4)


@pytest.mark.parametrize("shape", [(1, 4), (3, 4), (2, CAPACITY + 1), (4,)])
def test_samples_of_a_wrong_shape_are_refused(shape) -> None:
    ring = Ring.private(2, CAPACITY)
    with pytest.raises(ValueError, match="expected"):
        ring.write(np.zeros(shape, np.float32))


def test_an_out_of_wrong_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="expected out of shape"):
        Ring.private(2, CAPACITY).read(0, np.zeros((3, 4), np.float32), 0)


@pytest.mark.parametrize("capacity", [0, 3, 48])
def test_a_capacity_that_is_no_power_of_two_is_refused(capacity) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Ring(np.zeros(8, np.int64), np.zeros((2, capacity), np.float32))


def test_views_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="header"):
        Ring(np.zeros(7, np.int64), np.zeros((2, 8), np.float32))
    with pytest.raises(ValueError, match="C-contiguous float32"):
        Ring(np.zeros(8, np.int64), np.zeros((2, 8)))
    with pytest.raises(ValueError, match="C-contiguous float32"):
        Ring(np.zeros(8, np.int64), np.zeros((8, 2), np.float32).T)
