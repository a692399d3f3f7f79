"""The worker's loop body with an instant network: who is heard when, and that nobody hears the change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtsep.engine.handover import LONGEST_BURST_S, Handover
from rtsep.engine.worker_loop import WorkerLoop
from rtsep.nn.constant import ConstantMask
from rtsep.nn.windowed import Windowed
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from rtsep.separation.backends.stepper import Interrupted
from rtsep.separation.processor import Processor
from rtsep.shared.status import Kind, WorkerProblem
from rtsep.timebase import HOP
from tests.engine.worker_loop_bench import SECOND, STEMS, Bench, noise, separated
from tests.networks import LevelShares

INSTANT_SHARE = 0.25
TARGET_HOP = 201


class InstantBench(Bench):
    """Of the instant network the vocals get a quarter; of the model, whose windows are like Spleeter's, half and less
    the louder a frame is."""

    def __init__(self, song: np.ndarray, fade: int = 0) -> None:
        self.fade = fade
        super().__init__(self.model(), None, song)

    def model(self) -> Windowed:
        return Windowed(LevelShares(), 128, 32, 32, self.fade)

    def start_worker(self) -> None:
        model, instant = (
            TorchStepper(network, choose_compute("cpu"))
            for network in (self.network, ConstantMask(STEMS, [INSTANT_SHARE, 1 - INSTANT_SHARE]))
        )
        self.worker_loop = WorkerLoop(self.shared, Processor(instant, self.latency), self.chunk, awaits_model=True)
        self.worker_loop.calibrate()
        self.handover = Handover(model)
        self.worker_loop.offer(model, self.handover)
        self.handover.burst_s = 0.05  # whatever this machine is busy with
        self.handover.succeeded()

    def border_hop(self, vocals: np.ndarray, begin_hop: int) -> int:
        """The first hop of `vocals`, which begin with `begin_hop`, that is not the instant network's alone."""
        instant = INSTANT_SHARE * self.song[:, begin_hop * HOP :][:, : vocals.shape[1]]
        hops = np.abs(vocals - instant).reshape(2, -1, HOP).max(axis=(0, 2))
        return begin_hop + int(np.argmax(hops > 1e-5))


@pytest.mark.parametrize("fade", [0, 8])
@pytest.mark.parametrize("target_hop", [0, 5, TARGET_HOP])
def test_the_instant_network_is_heard_first_and_then_the_model_as_in_uninterrupted_play(
    target_hop: int, fade: int
) -> None:
    bench = InstantBench(noise(12 * SECOND), fade)
    bench.start(target_hop * HOP + 7)
    bench.work()
    begin, end = target_hop * HOP, bench.shared.stem.end
    assert end > begin + 3 * SECOND
    stems = bench.stems(begin, end)
    np.testing.assert_allclose(stems.sum(axis=0), bench.song[:, begin:end], atol=1e-5)  # no hole, no seam
    border = bench.border_hop(stems[0], target_hop)
    assert target_hop < border < target_hop + 64
    assert (
        border + 3
    ) % 32 == 0  # a frame reaches three hops back; a stride of uninterrupted play begins with this one
    uninterrupted = separated(bench.model(), 32, bench.song)[:, :, begin:end]
    settled = (border + 3 + fade - target_hop) * HOP  # frames of both overlap before
    np.testing.assert_allclose(stems[..., settled:], uninterrupted[..., settled:], atol=1e-5)


def test_the_change_to_the_model_has_no_click_and_no_jump_in_level() -> None:
    """Of a tone: from hop to hop its level moves between both networks', and it has no corner."""
    time_s = np.arange(12 * SECOND) / 44100
    tone = (0.3 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
    bench = InstantBench(np.stack([tone, tone]))
    bench.start(TARGET_HOP * HOP)
    bench.work()
    begin = TARGET_HOP * HOP
    vocals = bench.stems(begin, begin + 3 * SECOND)[0, 0]
    level = np.sqrt(np.mean(vocals[: 128 * HOP].reshape(-1, HOP) ** 2, axis=1)) / (0.3 / np.sqrt(2))
    instant, model = INSTANT_SHARE, float(level[-1])
    assert abs(model - instant) > 0.02
    low, high = sorted((instant, model))
    assert level.min() > low - 0.01
    assert level.max() < high + 0.01
    corner = np.abs(np.diff(vocals, 2)).max()
    smoothest = np.abs(np.diff(max(instant, model) * tone, 2)).max()
    assert corner < 1.05 * smoothest


def test_after_every_one_of_many_jumps_the_stems_have_no_hole() -> None:
    bench = InstantBench(noise(12 * SECOND))
    random = np.random.default_rng(7)
    for _ in range(40):
        target_hop = int(random.integers(0, 200))
        bench.start(target_hop * HOP)
        for _ in range(int(random.integers(1, 60))):
            bench.worker_loop.turn()
        header = bench.shared.stem.header()
        if header.epoch == bench.epoch:
            assert header.begin == target_hop * HOP
            stems = bench.stems(header.begin, header.end)
            np.testing.assert_allclose(stems.sum(axis=0), bench.song[:, header.begin : header.end], atol=1e-5)


def test_a_model_that_falls_behind_is_replaced_without_a_gap_and_takes_over_again() -> None:
    bench = InstantBench(noise(12 * SECOND))
    bench.start(TARGET_HOP * HOP)
    while not bench.worker_loop._plan.has_handed_over:
        bench.worker_loop.turn()
    while bench.shared.stem.end < (TARGET_HOP + 70) * HOP:
        bench.worker_loop.turn()
    while bench.shared.stem.end - bench.shared.callback.read().position > 1500:  # the worker sleeps
        bench.hear(256)
    bench.worker_loop.turn()
    kinds = []
    while bench.shared.worker.problem != WorkerProblem.MODEL_TOO_SLOW:
        bench.worker_loop.turn()
    for _ in range(20):
        bench.hear(256)
        kinds.append(bench.shared.callback.read().kind)
        for _ in range(10):
            bench.worker_loop.turn()
    assert set(kinds) == {Kind.WET}
    bench.work()
    assert bench.shared.worker.problem == WorkerProblem.NONE
    assert bench.worker_loop._plan.has_handed_over
    assert bench.shared.worker.late_hops == bench.shared.worker.skipped_hops == 0
    begin, end = TARGET_HOP * HOP, bench.shared.stem.end
    np.testing.assert_allclose(bench.stems(begin, end).sum(axis=0), bench.song[:, begin:end], atol=1e-5)


def test_a_model_that_is_far_too_slow_never_takes_over_and_says_so() -> None:
    bench = InstantBench(noise(12 * SECOND))
    bench.handover.burst_s = LONGEST_BURST_S + 0.1
    bench.start(TARGET_HOP * HOP)
    bench.work()
    begin, end = TARGET_HOP * HOP, bench.shared.stem.end
    np.testing.assert_allclose(bench.stems(begin, end)[0], INSTANT_SHARE * bench.song[:, begin:end], atol=1e-5)
    assert bench.shared.worker.problem == WorkerProblem.MODEL_TOO_SLOW


def test_frames_that_are_only_heard_leave_the_masks_as_they_were_but_for_the_fade() -> None:
    torch.manual_seed(0)
    network = Windowed(LevelShares(), 32, 8, 8, 4)
    magnitudes = torch.rand(1, 2, 1024, 80)
    whole, heard = network.init_state(), network.init_state()
    border = 8 * 5 + network.lookahead_frames
    for first in range(0, border, 16):
        network.step(magnitudes[..., first : min(first + 16, border)], whole)
        network.hear(magnitudes[..., first : min(first + 16, border)], heard)
    expected = network.step(magnitudes[..., border : border + 24], whole).clone()
    masks = network.step(magnitudes[..., border : border + 24], heard)
    torch.testing.assert_close(masks[..., 4:], expected[..., 4:])
    alone = network.network(magnitudes[..., border - 31 : border + 1])[..., 16:20]
    torch.testing.assert_close(masks[..., :4], alone)


def test_a_long_step_is_broken_off_by_a_jump() -> None:
    """A window of Spleeter takes an eighth of a second; the sound after a jump doesn't wait for it."""
    stepper = TorchStepper(Windowed(LevelShares(), 4, 4), choose_compute("cpu"))
    jumped = False
    stepper.interrupt_when(lambda: jumped)
    magnitudes = np.ones((2, 1024, 4), np.float32)
    stepper.step(magnitudes)
    jumped = True
    with pytest.raises(Interrupted):
        stepper.step(magnitudes)
    jumped = False
    stepper.reset()
    np.testing.assert_allclose(stepper.step(magnitudes)[0, ..., 3], 0.5)

    bench = InstantBench(noise(12 * SECOND))
    bench.start(TARGET_HOP * HOP)
    while not bench.worker_loop._plan.has_handed_over:
        bench.worker_loop.turn()
    network = bench.network.network  # type: ignore[union-attr]
    seen: list[int] = []

    def jump(*_: object) -> None:
        bench.start(5 * HOP)
        seen.append(bench.shared.worker.hops)

    handle = network.register_forward_pre_hook(jump, prepend=True)
    while not seen:
        bench.worker_loop.turn()
    handle.remove()
    assert bench.shared.worker.hops == seen[0]  # nothing came of that step
    bench.work()
    assert bench.shared.stem.begin == 5 * HOP
