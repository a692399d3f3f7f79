"""The formula, and that the path really has this latency: a live shared state driven sample by sample."""

from __future__ import annotations

from math import gcd

import numpy as np
import pytest

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import mix_block
from rtsep.engine.latency import Latency, algorithmic_latency
from rtsep.engine.worker_loop import WorkerLoop
from rtsep.nn.constant import ConstantMask
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from rtsep.separation.processor import Processor
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import Kind
from rtsep.timebase import HOP


def test_the_formula_in_numbers() -> None:
    assert algorithmic_latency(1, 441) == 4096 + 440 + 64
    assert algorithmic_latency(1, 441, lookahead=3) == 4096 + 3 * 1024 + 440 + 64
    assert algorithmic_latency(8, 441, support=2048) == 2048 + 7 * 1024 + 440 + 64
    # Blocks in step with the hops end where chunks end.
    assert algorithmic_latency(1, 256) == 4096 + 64
    assert algorithmic_latency(1, 1024) == 4096 + 64
    assert algorithmic_latency(8, 1024) == 4096 + 7 * 1024 + 64
    assert Latency(4160, 100, 1500).total == 5760
    with pytest.raises(ValueError, match="chunk"):
        algorithmic_latency(0, 256)


@pytest.mark.parametrize(
    ("chunk", "block"), [(1, 256), (1, 1024), (1, 441), (3, 1024), (2, 3072), (1, 64), (4, 1000), (9, 9216)]
)
def test_a_live_deck_is_wet_at_this_distance_and_not_below(chunk: int, block: int) -> None:
    """Capture in blocks, an infinitely fast worker and a callback that follows `distance` samples behind the capture.

    A block that begins when `p + distance` samples are captured plays [p, p + block).
    """
    needed = algorithmic_latency(chunk, block)
    assert _all_wet(chunk, block, needed)
    assert not _all_wet(chunk, block, needed - 1)


@pytest.mark.parametrize(("chunk", "block"), [(1, 256), (1, 441), (4, 1024)])
@pytest.mark.parametrize(("latency", "support"), [("medium", 3072), ("low", 2048)])
def test_so_it_is_with_less_support(chunk: int, block: int, latency: str, support: int) -> None:
    needed = algorithmic_latency(chunk, block, support=support)
    assert _all_wet(chunk, block, needed, latency)
    assert not _all_wet(chunk, block, needed - 1, latency)


def _all_wet(chunk: int, block: int, distance: int, latency: str = "standard") -> bool:
    layout = SharedLayout(stems=("vocals",))
    shared = SharedState(layout, bytearray(layout.nbytes))
    shared.initialise()
    worker_loop = WorkerLoop(
        shared, Processor(TorchStepper(ConstantMask(["vocals"], [1.0]), choose_compute("cpu"), 32), latency), chunk
    )
    control = CallbackControl(shared)
    output = np.zeros((block, 2), np.float32)
    shared.mixture.restart(1, 0, 0)
    shared.transport.playing = True
    kinds = []
    before = -(-distance // block)
    for index in range(
        before + chunk * HOP // gcd(block, chunk * HOP) + 10
    ):  # every way that blocks and chunks can meet
        shared.mixture.write(np.zeros((2, block), np.float32))
        while worker_loop.turn() == 0.0:
            pass
        if index == before:
            shared.transport.post_behind(distance, 1, 0)
        mix_block(control.fields, output, block)
        if index >= before:
            kinds.append(shared.callback.read().kind)
    return set(kinds) == {Kind.WET}
