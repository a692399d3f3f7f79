"""The other process of the two-process tests: source and worker of a shared state in one.

Run as ``python -m tests.shared.state_peer FD LAYOUT HOLD_BACK SEED``. It obeys the letters in the shared state's
mailbox (which it reads as the audio callback does) by restarting both rings at the request's target, then writes
samples in blocks of random length that say which epoch and position they belong to, the stems now and then late. With
HOLD_BACK 1 it keeps within reach of the callback's position as a file source does, with 0 it overwrites old samples as
fast as it can. Ends when its stdin does.
"""

import select
import subprocess
import sys
from pathlib import Path

import numpy as np
from numba import njit

from rtsep.shared.rings import END, _restart, append
from rtsep.shared.seek_mailbox import REQUEST_FIELDS, collect
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import POSITION

CODES = 2**18 - 1
LARGEST_WRITE = 512


@njit
def code(number):
    """A number as a float32 sample that is exact, never zero and below the limiter's knee (period 2**18 - 1)."""
    return np.float32(((number & CODES) + 1) * 2.0**-19)


@njit
def random_below(state, limit):
    """A number from 0 to limit - 1, limit up to 2**23. No product overflows: to the compiler that may mean anything."""
    state[0] = (state[0] * 1103515245 + 12345) & 0x7FFFFFFF
    return (state[0] >> 8) * limit >> 23


@njit
def write_codes(header, data, block, count, epoch, sign):
    """Row 0: the position; row 1: `sign` times the epoch; further rows are zero, so that stems add up to these."""
    position = header[END]
    for i in range(count):
        block[0, i] = code(position + i)
        block[1, i] = sign * code(epoch)
    append(header, data, block[:, :count])


@njit
def serve(
    turns, hold_back, memory, request, state, transport, callback, mixture, mixture_data, stem, stem_data, blocks
):
    """Go round `turns` times. `memory`: sequence of the last request, turns for which the stems are still late."""
    for _ in range(turns):
        sequence = collect(transport, memory[0], request)
        if sequence != memory[0]:
            memory[0] = sequence
            epoch, target = request[0], request[1]
            begin = target - random_below(state, 700)
            memory[1] = random_below(state, 6) * random_below(state, 40)
            if random_below(state, 2) == 0:
                _restart(mixture, epoch, begin, target)
                _restart(stem, epoch, target, target)
            else:
                _restart(stem, epoch, target, target)
                _restart(mixture, epoch, begin, target)
        epoch = request[0]
        if memory[0] == 0:
            continue
        if memory[1] > 0:
            memory[1] -= 1
        for which in range(2):
            header, data = (mixture, mixture_data) if which == 0 else (stem, stem_data)
            count = random_below(state, LARGEST_WRITE) + 1
            ahead = header[END] + count - callback[POSITION]
            # Keep half of the ring for what was already heard; a position of an older epoch only holds us back.
            if hold_back and (ahead > data.shape[1] // 2):
                continue
            if which == 1 and memory[1] > 0:
                continue
            sign = np.float32(1.0 if which == 0 else -1.0)
            write_codes(header, data, blocks[which, : data.shape[0]], count, epoch, sign)


def start(shared: SharedState, hold_back: bool, seed: int) -> subprocess.Popen:
    """Start the peer on `shared state` and wait until it has compiled its loop; close its stdin to end it."""
    assert shared.block is not None
    command = [sys.executable, "-m", "tests.shared.state_peer", str(shared.block.fd), shared.layout.to_json()]
    command += [str(int(hold_back)), str(seed)]
    peer = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[shared.block.fd],
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert peer.stdout is not None
    assert peer.stdout.readline() == b"ready\n"
    return peer


def main() -> None:
    fd, layout, hold_back, seed = sys.argv[1:]
    shared = SharedState.attach(SharedLayout.from_json(layout), int(fd))
    memory, request = np.zeros(2, np.int64), np.zeros(REQUEST_FIELDS, np.int64)
    blocks = np.zeros((2, max(shared.stem.rows, 2), LARGEST_WRITE), np.float32)
    rest = (
        memory, request, np.array([int(seed)]), shared.transport.fields, shared.callback.fields, shared.mixture.fields,
        shared.mixture.data, shared.stem.fields, shared.stem.data, blocks,
    )  # fmt: skip
    serve(1, int(hold_back), *rest)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        serve(2000, int(hold_back), *rest)


if __name__ == "__main__":
    main()
