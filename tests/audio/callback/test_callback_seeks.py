"""Ten thousand seeks under a running callback, with source and worker in another process."""

import random
import threading
import time

import numpy as np
from numba import njit

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import BYPASS, DRY, WET, mix_block
from rtsep.shared.seek_mailbox import REQUEST_FIELDS
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import ACK, CALLBACK_EPOCH, KIND, POSITION
from rtsep.timebase import FADE
from tests.shared import state_peer as state_peer
from tests.shared.state_peer import code, random_below

SEEKS = 5_000
LARGEST = 2048


@njit(nogil=True)
def play(control, words, out, blocks, state, memory, kinds, wrong):
    """Call the callback `blocks` times and look at every sample that is not part of a cross-fade.

    `memory`: sequence and kind after the last block, samples of fade still to come. The shared state's samples say
    their own position (left) and epoch (right; negative in the stems). Letter number s carries epoch s // 2.
    """
    for _ in range(blocks):
        n = random_below(state, LARGEST if random_below(state, 20) == 0 else 200) + 1
        mix_block(control, out[:n], n)
        kind, epoch = words[KIND], words[CALLBACK_EPOCH]
        if words[ACK] != memory[0] or kind != memory[1]:
            memory[2] = FADE
        memory[0], memory[1] = words[ACK], kind
        kinds[kind] += 1
        if epoch != words[ACK] // 2:
            wrong[0] += 1
        start = words[POSITION] - n
        for i in range(memory[2], n):
            left, right = np.float32(0), np.float32(0)
            if kind == WET:
                left, right = code(start + i), -code(epoch)
            elif kind == DRY or kind == BYPASS:
                left, right = code(start + i), code(epoch)
            if out[i, 0] != left or out[i, 1] != right:
                wrong[1] += 1
        memory[2] = max(memory[2] - n, 0)


def test_no_sample_of_a_wrong_epoch_or_position_is_heard() -> None:
    shared = SharedState.create(SharedLayout(("codes", "nothing"), mixture_capacity=2**14, stem_capacity=2**14))
    peer = state_peer.start(shared, hold_back=True, seed=3)
    control = CallbackControl(shared)
    kinds, wrong = np.zeros(5, np.int64), np.zeros(2, np.int64)
    out, state, memory = np.zeros((LARGEST, 2), np.float32), np.array([5]), np.zeros(REQUEST_FIELDS, np.int64)
    done = threading.Event()
    failure: list[BaseException] = []

    def device() -> None:
        try:
            while not done.is_set():
                play(control.fields, shared.callback.fields, out, 20, state, memory, kinds, wrong)
        except BaseException as error:
            failure.append(error)
            raise

    rng = random.Random(1)
    shared.transport.playing = True
    shared.transport.post(0, 1, 0)
    thread = threading.Thread(target=device)
    thread.start()
    deadline = time.monotonic() + 120
    obeyed = 0
    try:
        epoch = 1
        while obeyed < SEEKS:
            epoch += 1
            # Patience 0 plays dry while the stems come up, much patience waits for them.
            sequence = shared.transport.post(rng.randrange(-5000, 10**9), epoch, rng.choice([0, 0, 3000, 10**6]))
            # Most requests are waited for; some are overwritten by the next one before they are read.
            wait = rng.random() < 0.97
            while wait and shared.callback.ack < sequence:
                assert time.monotonic() < deadline
                assert not failure
                time.sleep(0)
            obeyed += shared.callback.ack >= sequence
            if epoch % 16 == 0:
                shared.transport.playing = rng.random() < 0.9
                shared.transport.bypass = rng.random() < 0.2
            if epoch % 4 == 0:
                time.sleep(rng.random() * 0.002)
    finally:
        done.set()
        thread.join(20)
        assert peer.stdin is not None
        peer.stdin.close()
        peer.wait(20)
        shared.close()
    assert wrong.tolist() == [0, 0]
    assert peer.returncode == 0
    assert (kinds > 200).all(), f"not every kind was heard: {kinds}"
