"""The mailbox: the newest request whole, or none."""

import threading

import numpy as np
from numba import njit

from rtsep.shared.seek_mailbox import MAIL_SEQUENCE, REQUEST_FIELDS, collect, post, post_behind


def test_a_request_is_collected_once() -> None:
    words, request = np.zeros(16, np.int64), np.zeros(REQUEST_FIELDS, np.int64)
    assert collect(words, 0, request) == 0
    sequence = post(words, -5, 7, 300)
    assert collect(words, 0, request) == sequence
    assert request.tolist() == [7, -5, 300, 0]
    request[:] = 0
    assert collect(words, sequence, request) == sequence
    assert request.tolist() == [0, 0, 0, 0]


def test_a_request_may_name_a_distance_instead_of_a_position() -> None:
    words, request = np.zeros(16, np.int64), np.zeros(REQUEST_FIELDS, np.int64)
    sequence = post_behind(words, 4161, 7, 300)
    assert collect(words, 0, request) == sequence
    assert request.tolist() == [7, 4161, 300, 1]


def test_only_the_newest_request_counts() -> None:
    words, request = np.zeros(16, np.int64), np.zeros(REQUEST_FIELDS, np.int64)
    post(words, 1, 1, 1)
    newest = post(words, 2, 2, 2)
    assert collect(words, 0, request) == newest
    assert request.tolist() == [2, 2, 2, 0]


def test_a_request_being_written_is_left_alone() -> None:
    words, request = np.zeros(16, np.int64), np.zeros(REQUEST_FIELDS, np.int64)
    seen = post(words, 1, 1, 1)
    words[MAIL_SEQUENCE] += 1
    assert collect(words, seen, request) == seen
    assert collect(words, 0, request) == 0


@njit(nogil=True)
def post_many(words, count):
    for i in range(count):
        post(words, i, -i, 2 * i)


@njit(nogil=True)
def collect_many(words, last, result):
    """Collect until request number `last` came. `result`: letters seen, letters torn."""
    request = np.zeros(REQUEST_FIELDS, np.int64)
    seen = 0
    while request[1] != last:
        sequence = collect(words, seen, request)
        if sequence != seen:
            seen = sequence
            result[0] += 1
            if request[0] != -request[1] or request[2] != 2 * request[1] or sequence != 2 * (request[1] + 1):
                result[1] += 1


def test_no_request_is_torn_when_both_sides_run_at_full_speed() -> None:
    words, result = np.zeros(16, np.int64), np.zeros(2, np.int64)
    count = 2_000_000
    post_many(np.zeros(16, np.int64), 1)
    reader = threading.Thread(target=collect_many, args=(words, count - 1, result))
    reader.start()
    post_many(words, count)
    reader.join(60)
    assert not reader.is_alive()
    assert result[1] == 0
    assert result[0] > 0
