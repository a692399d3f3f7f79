"""The worker's loop body on a song played through: as the separator does it, four seconds ahead, to the last sample."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.engine.worker_loop import AHEAD_LIMIT
from rtsep.nn.constant import ConstantMask
from rtsep.nn.frame_transformer import FrameTransformer
from rtsep.shared.status import Kind, WorkerState
from rtsep.timebase import HOP
from tests.engine.worker_loop_bench import SECOND, STEMS, Bench, noise, separated, steps
from tests.networks import Delayed


@pytest.mark.parametrize("chunk", [1, 8, 32])
def test_from_the_beginning_it_is_exactly_what_the_separator_gives(transformer: FrameTransformer, chunk: int) -> None:
    song = noise(3 * SECOND + 77)
    bench = Bench(transformer, chunk, song)
    bench.start(0)
    bench.work()
    # Sums of floats may round differently where buffers lie differently in memory.
    np.testing.assert_allclose(bench.stems(0, song.shape[1]), separated(transformer, chunk, song), rtol=0, atol=1e-6)


@pytest.mark.parametrize("latency", ["medium", "low"])
def test_with_less_latency_too_and_after_a_seek_without_a_seam(transformer: FrameTransformer, latency: str) -> None:
    song = noise(2 * SECOND + 77)
    bench = Bench(transformer, 4, song, latency)
    bench.start(0)
    bench.work()
    expected = separated(transformer, 4, song, latency)
    np.testing.assert_allclose(bench.stems(0, song.shape[1]), expected, atol=1e-6)
    bench.start(SECOND)
    bench.work()
    start = SECOND // HOP * HOP
    np.testing.assert_allclose(bench.stems(start, song.shape[1]).sum(axis=0), song[:, start:], atol=1e-5)


def test_lookahead_does_not_shift_the_stems() -> None:
    song = noise(3 * SECOND)
    bench = Bench(Delayed(STEMS, [0.5, 0.5]), 4, song)
    bench.start(0)
    bench.work()
    expected = separated(bench.network, 4, song)
    np.testing.assert_array_equal(bench.stems(0, song.shape[1]), expected)


def test_stems_begin_with_the_hop_of_the_target_and_get_four_seconds_ahead_at_most() -> None:
    song = noise(8 * SECOND)
    bench = Bench(ConstantMask(STEMS, [0.25, 0.75]), None, song)
    bench.start(2 * SECOND + 5)
    bench.work()
    start = (2 * SECOND + 5) // HOP * HOP
    assert bench.shared.stem.begin == start
    assert start + 3 * SECOND < bench.shared.stem.end <= start + AHEAD_LIMIT
    heard, kinds = bench.play(4 * SECOND)
    assert set(kinds) == {Kind.WET}
    assert bench.shared.stem.end <= bench.shared.callback.position + AHEAD_LIMIT
    at = 2 * SECOND + 5
    np.testing.assert_allclose(heard[:, 64:], song[:, at + 64 : at + heard.shape[1]], atol=1e-6)


def test_chunks_are_small_until_there_is_lead(transformer: FrameTransformer) -> None:
    bench = Bench(transformer, None, noise(8 * SECOND))
    bench.start(0)
    begins, sizes = steps(bench, 30)
    assert sizes[0] == 4
    assert max(sizes) == 32
    assert begins == sorted(begins)


def test_a_song_is_played_to_its_last_sample() -> None:
    song = noise(SECOND + 301)
    for chunk in (None, 1, 32):
        bench = Bench(ConstantMask(STEMS, [0.25, 0.75]), chunk, song)
        bench.start(0)
        bench.work()
        heard, _ = bench.play(SECOND + 2048, block=441)
        head = bench.shared.callback.read()
        assert (head.ended, head.position, head.dry_samples, head.late_blocks) == (True, song.shape[1], 0, 0)
        np.testing.assert_allclose(heard[:, 64 : song.shape[1] - 64], song[:, 64:-64], atol=1e-6)


@pytest.mark.parametrize("chunk", [None, 1, 4, 32])
@pytest.mark.parametrize("extra", [0, 1, HOP - 1])
@pytest.mark.parametrize("lookahead", [False, True])
def test_nothing_beyond_the_end_is_separated(chunk: int | None, extra: int, lookahead: bool) -> None:
    song = noise(30 * HOP + extra)
    bench = Bench((Delayed if lookahead else ConstantMask)(STEMS, [0.25, 0.75]), chunk, song)
    for target in (0, 10 * HOP):
        bench.start(target)
        bench.work(WorkerState.ENDED)
        assert bench.shared.worker.state == WorkerState.ENDED
        end = bench.shared.stem.end
        assert song.shape[1] <= end < song.shape[1] + (chunk or 32) * HOP
        np.testing.assert_allclose(bench.stems(target, song.shape[1]).sum(axis=0), song[:, target:], atol=1e-5)
    hops = bench.shared.worker.hops
    for _ in range(50):
        assert bench.worker_loop.turn() > 0
    assert bench.shared.worker.hops == hops


def test_it_sleeps_when_there_is_nothing_to_do() -> None:
    bench = Bench(ConstantMask(STEMS, [0.5, 0.5]), None, noise(8 * SECOND))
    assert bench.worker_loop.turn() >= 0.001  # no epoch yet
    bench.start(0)
    bench.work()
    assert all(bench.worker_loop.turn() >= 0.001 for _ in range(20))  # far enough ahead
    bench.song = noise(20000)
    bench.start(0)
    bench.work(WorkerState.ENDED)
    assert all(bench.worker_loop.turn() >= 0.001 for _ in range(20))  # the song is over


def test_it_sleeps_towards_the_next_hop_of_a_live_source() -> None:
    bench = Bench(ConstantMask(STEMS, [0.5, 0.5]), 1, noise(1))
    ring = bench.shared.mixture
    ring.restart(1, 0, 0)
    ring.write(noise(8 * HOP))
    while (pause_s := bench.worker_loop.turn()) == 0:
        pass
    ring.write(noise(HOP - 30))
    assert bench.shared.stem.end == 5 * HOP
    assert 0 < bench.worker_loop.turn() <= 0.001  # 30 samples are 0.7 ms away
    ring.write(noise(30))
    bench.worker_loop.turn()
    assert bench.shared.stem.end == 6 * HOP
    assert pause_s <= 0.01
