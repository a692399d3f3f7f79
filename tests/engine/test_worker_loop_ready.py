"""The worker's loop body where stems of a better network become ready: who is heard, and that the change is silent."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.engine.stem_writer import WORTH_CHANGING
from rtsep.engine.worker_loop import WorkerLoop
from rtsep.nn.constant import ConstantMask
from rtsep.separation.processor import Processor
from rtsep.shared.status import Kind, Network
from rtsep.timebase import HOP
from tests.engine.worker_loop_bench import SECOND, STEMS, Bench, noise, stepper_of

OWN, BETTER = 0.25, 0.75
BEGIN = 60 * HOP


class ReadyBench(Bench):
    """Of the own network the vocals get a quarter, of the better one three quarters."""

    def __init__(self, song: np.ndarray) -> None:
        super().__init__(ConstantMask(STEMS, [OWN, 1 - OWN]), None, song)

    def start_worker(self) -> None:
        processor = Processor(stepper_of(self.network))
        self.worker_loop = WorkerLoop(self.shared, processor, awaits_better=True)
        self.worker_loop.calibrate()

    def make_ready(self, begin: int, end: int) -> None:
        """Put the better network's stems of this stretch into the ready ring."""
        ring = self.shared.ready
        if ring.epoch != self.epoch or not ring.begin <= begin <= ring.end:
            ring.restart(self.epoch, begin, begin)
        begin = max(begin, ring.end)
        for at in range(begin, end, 8192):
            piece = self.song[:, at : min(at + 8192, end)]
            ring.write(np.concatenate([BETTER * piece, (1 - BETTER) * piece]).astype(np.float32))

    def share(self, begin: int, end: int) -> np.ndarray:
        """The vocals over the mixture, where that is loud enough to tell; NaN elsewhere."""
        song = self.song[0, begin:end]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(np.abs(song) > 0.05, self.stems(begin, end)[0, 0] / song, np.nan)

    def play_on(self, samples: int) -> set[Kind]:
        return set(self.play(samples // 512 * 512)[1])


def test_own_stems_are_heard_until_better_ones_lie_ahead_and_fade_into_them_within_a_hop() -> None:
    bench = ReadyBench(noise(10 * SECOND))
    bench.start(BEGIN)
    bench.work()
    change = bench.shared.stem.end
    assert BEGIN + SECOND // 4 < change <= BEGIN + SECOND  # not far: what is published stays
    bench.make_ready(BEGIN, BEGIN + 4 * SECOND)
    bench.work()
    bench.play_on(SECOND)
    end = bench.shared.stem.end
    assert end > change + SECOND
    np.testing.assert_allclose(bench.share(BEGIN, change)[~np.isnan(bench.share(BEGIN, change))], OWN, atol=1e-4)
    after = bench.share(change + HOP, end)
    np.testing.assert_allclose(after[~np.isnan(after)], BETTER, atol=1e-4)
    fade = bench.share(change, change + HOP)
    expected = OWN + (BETTER - OWN) * np.arange(1, HOP + 1) / (HOP + 1)
    np.testing.assert_allclose(fade[~np.isnan(fade)], expected[~np.isnan(fade)], atol=1e-3)
    status = bench.shared.worker
    assert status.network_at(change - 1) == Network.INSTANT
    assert status.network_at(change) == Network.MODEL


def test_where_better_stems_end_own_ones_go_on_and_the_last_hop_fades_into_them() -> None:
    bench = ReadyBench(noise(10 * SECOND))
    bench.start(BEGIN)
    ready_end = BEGIN + 3 * SECOND + 500
    bench.make_ready(BEGIN, ready_end)
    bench.work()
    kinds = bench.play_on(4 * SECOND)
    assert kinds == {Kind.WET}
    end = bench.shared.stem.end
    np.testing.assert_allclose(bench.stems(BEGIN, end).sum(axis=0), bench.song[:, BEGIN:end], atol=1e-5)
    whole = (ready_end - BEGIN) // HOP * HOP + BEGIN
    for begin, stop, expected in ((BEGIN + SECOND, whole - HOP, BETTER), (whole, end, OWN)):
        share = bench.share(begin, stop)
        np.testing.assert_allclose(share[~np.isnan(share)], expected, atol=1e-4)
    assert bench.shared.worker.network_at(end) == Network.INSTANT
    assert bench.shared.worker.late_hops == bench.shared.worker.skipped_hops == 0


def test_too_little_to_change_for_is_left_alone() -> None:
    bench = ReadyBench(noise(10 * SECOND))
    bench.start(BEGIN)
    bench.work()
    bench.make_ready(BEGIN, bench.shared.stem.end + WORTH_CHANGING // 2)
    bench.work()
    bench.play_on(SECOND)
    share = bench.share(BEGIN, bench.shared.stem.end)
    np.testing.assert_allclose(share[~np.isnan(share)], OWN, atol=1e-4)


def test_better_stems_play_to_the_last_sample_of_a_song() -> None:
    bench = ReadyBench(noise(6 * SECOND + 77))
    length = bench.song.shape[1]
    bench.start(BEGIN)
    bench.make_ready(BEGIN, length)
    bench.work()
    bench.play_on(length - BEGIN + SECOND)
    share = bench.share(BEGIN + SECOND, length)
    np.testing.assert_allclose(share[~np.isnan(share)], BETTER, atol=1e-4)
    assert bench.shared.callback.read().ended


@pytest.mark.parametrize("back", [False, True])
def test_the_change_of_a_tone_has_no_click(back: bool) -> None:
    """As in a fade to the original mix, no corner is sharper than the tone's own ones."""
    time_s = np.arange(10 * SECOND) / 44100
    tone = (0.3 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
    bench = ReadyBench(np.stack([tone, tone]))
    bench.start(BEGIN)
    bench.work()
    bench.make_ready(BEGIN, BEGIN + (2 if back else 5) * SECOND + 333)
    bench.work()
    bench.play_on(3 * SECOND)
    vocals = bench.stems(BEGIN, bench.shared.stem.end)[0, 0]
    assert np.abs(np.diff(vocals, 2)).max() < 1.05 * np.abs(np.diff(BETTER * tone, 2)).max()
    level = np.abs(vocals[:-400]).max()
    assert level <= BETTER * 0.3 + 1e-4


def test_after_200_random_jumps_nothing_is_dry_for_long_and_every_sample_is_of_one_or_both() -> None:
    bench = ReadyBench(noise(11 * SECOND))
    random = np.random.default_rng(3)
    changes = 0
    for _ in range(200):
        target = int(random.integers(0, 7 * SECOND))
        bench.start(target)
        begin = target // HOP * HOP
        ready_begin = max(begin + int(random.integers(-SECOND, SECOND)), 0)
        ready_end = ready_begin + int(random.integers(0, 3 * SECOND))
        wait = int(random.integers(0, 30))
        for turn in range(60):
            if turn == wait:
                bench.make_ready(ready_begin, min(ready_end, bench.song.shape[1]))
            bench.worker_loop.turn()
            if turn > 20:
                bench.hear(1024)
        header = bench.shared.stem.header()
        assert (header.epoch, header.begin) == (bench.epoch, begin)
        assert header.end > begin + SECOND // 8
        stems = bench.stems(header.begin, header.end)
        song = bench.song[:, header.begin : header.end]
        np.testing.assert_allclose(stems.sum(axis=0), song, atol=1e-5)
        share = bench.share(header.begin, header.end)
        assert np.nanmin(share) > OWN - 1e-3
        assert np.nanmax(share) < BETTER + 1e-3
        changes += np.nanmax(share) > BETTER - 1e-3
    assert changes > 20
    assert bench.shared.worker.late_hops == 0
