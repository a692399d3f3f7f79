"""What happens while sound plays is counted, so that nobody misses or repeats a line."""

from __future__ import annotations

import threading

from rtsep.player.notices import NOTICES_KEPT, Notices


def test_each_reader_gets_each_line_once() -> None:
    notices = Notices()
    assert notices.since(0) == ([], 0)
    notices.append("gone")
    assert notices.since(0) == (["gone"], 1)
    notices.extend(["back", "gone"])
    assert notices.since(1) == (["back", "gone"], 3)
    assert notices.since(3) == ([], 3)
    assert list(notices) == ["gone", "back", "gone"]


def test_old_lines_go_and_new_ones_that_read_the_same_are_seen() -> None:
    notices = Notices()
    for _ in range(NOTICES_KEPT):
        notices.append("gone")
    _, count = notices.since(0)
    notices.append("gone")
    assert notices.since(count) == (["gone"], NOTICES_KEPT + 1)
    assert notices.since(0) == (["gone"] * NOTICES_KEPT, NOTICES_KEPT + 1), "a reader that was away for too long"


def test_lines_from_many_threads_are_all_counted() -> None:
    notices = Notices()
    threads = [threading.Thread(target=lambda: [notices.append("x") for _ in range(997)]) for _ in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notices.since(0)[1] == 7 * 997
