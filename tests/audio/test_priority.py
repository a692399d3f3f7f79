"""The rank of the audio threads: raised as far as the system permits, and only theirs."""

import os
import sys
import threading

import pytest

from rtsep.audio.devices import find_device
from rtsep.audio.priority import audio_rank, native_threads, raise_new_threads
from rtsep.audio.stream import OutputStream
from rtsep.dsp.deck import Deck, DeckLayout

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the system ranks audio threads")


def rank(thread: int) -> str:
    """In the words of `audio_rank`."""
    if os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR:
        return f"real-time (SCHED_RR {os.sched_getparam(thread).sched_priority})"
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    return f"nice {nice}" if nice < 0 else "ordinary"


@linux
def test_the_threads_of_an_open_device_get_the_rank_that_doctor_tells_and_no_other_does(virtual_audio) -> None:
    before = native_threads()
    ranks_before = {thread: rank(thread) for thread in before}
    stream = OutputStream(Deck.create(DeckLayout(("one", "two"))), find_device("rt_out").index)
    stream.start()
    new = native_threads() - before
    assert new
    assert {rank(thread) for thread in new} == {audio_rank().split(" (the")[0]}
    assert {thread: rank(thread) for thread in before & native_threads()} == ranks_before
    assert stream.close()


@linux
def test_threads_of_python_stay_as_they_are() -> None:
    before, done = native_threads(), threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.native_id is not None
    raise_new_threads(before)
    assert rank(thread.native_id) == rank(threading.get_native_id())
    done.set()
    thread.join()


@linux
def test_a_thread_that_has_ended_meanwhile_is_nobodys_trouble() -> None:
    before = native_threads()
    gone = threading.Thread(target=lambda: None)
    gone.start()
    gone.join()
    raise_new_threads(before)


def test_the_rank_is_told_in_words() -> None:
    assert audio_rank()
