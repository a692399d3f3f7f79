"""Signals let a run end what it is at; what they do otherwise, they do afterwards."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from rtsep.system.soft_stop import soft_stop
from tests.conftest import REPOSITORY

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Unwound(Exception):
    pass


@pytest.fixture(autouse=True)
def unwinding() -> Iterator[None]:
    """As in `rtsep`, but by an exception of our own."""

    def leave(number: int, frame: object) -> None:
        raise Unwound(number)

    before = {number: signal.signal(number, leave) for number in HEARD}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_hearing(*numbers: int) -> list[str]:
    """What happens in a run that hears these signals one after the other, and how it ends."""
    done = []
    try:
        with soft_stop(lambda: done.append("asked"), "ending"):
            for number in numbers:
                signal.raise_signal(number)
            done.append("ended")
    except Unwound as unwound:
        done.append(signal.Signals(unwound.args[0]).name)
    return done


@pytest.mark.parametrize("number", HEARD)
def test_a_signal_asks_first_and_unwinds_at_the_end(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_hearing(number) == ["asked", "ended", signal.Signals(number).name]
    assert capfd.readouterr().err == "\nending\n"
    with pytest.raises(Unwound):
        signal.raise_signal(number)


@pytest.mark.parametrize(("first", "second"), [(signal.SIGHUP, signal.SIGHUP), (signal.SIGINT, signal.SIGTERM)])
def test_of_two_signals_the_second_changes_nothing(first: int, second: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_hearing(first, second) == ["asked", "ended", signal.Signals(first).name]
    assert capfd.readouterr().err == "\nending\n"


@pytest.mark.parametrize("first", HEARD)
def test_control_c_after_another_signal_does_not_wait(first: int) -> None:
    assert run_hearing(first, signal.SIGINT) == ["asked", "SIGINT"]


def test_what_is_ignored_stays_ignored_and_without_a_signal_all_is_as_before() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    handlers = [signal.getsignal(number) for number in HEARD]
    with soft_stop(lambda: pytest.fail("it was heard"), "ending"):
        signal.raise_signal(signal.SIGHUP)
    assert [signal.getsignal(number) for number in HEARD] == handlers


def test_beside_the_main_thread_signals_are_left_to_whoever_called() -> None:
    entered = []

    def run() -> None:
        with soft_stop(lambda: None, ""):
            entered.append([signal.getsignal(number) for number in HEARD])

    before = [signal.getsignal(number) for number in HEARD]
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert entered == [before]


def test_a_terminal_that_has_gone_does_not_end_the_run() -> None:
    """stderr is one that refuses everything, as a terminal that was closed does."""
    program = (
        "import os, signal, sys\n"
        "from rtsep.system.soft_stop import soft_stop\n"
        "signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))\n"
        "with soft_stop(lambda: None, 'ending'):\n"
        "    signal.raise_signal(signal.SIGHUP)\n"
        "    print('told to nobody', file=sys.stderr, flush=True)\n"
        "    os.write(4, b'ended')\n"
    )
    reading, writing = os.pipe()
    full = os.open("/dev/full", os.O_WRONLY)

    def streams() -> None:
        os.dup2(full, 2)
        os.dup2(writing, 4)

    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, preexec_fn=streams, pass_fds=(4,))
    os.close(writing)
    assert (done.returncode, os.read(reading, 100)) == (129, b"ended")
    os.close(reading)
    os.close(full)
