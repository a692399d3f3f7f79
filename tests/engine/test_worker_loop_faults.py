"""The worker's loop body when something is wrong: late, no numbers, killed and started again."""

from __future__ import annotations

import numpy as np

from rtsep.nn.constant import ConstantMask
from rtsep.shared.status import Kind
from rtsep.timebase import HOP
from tests.engine.worker_loop_bench import SECOND, STEMS, Bench, noise
from tests.networks import BrokenWhenLoud


def test_a_worker_that_is_late_skips_to_the_play_head_and_comes_back() -> None:
    song = noise(8 * SECOND)
    bench = Bench(ConstantMask(STEMS, [0.5, 0.5]), 8, song)
    bench.shared.transport.set_gain(1, 0.0)  # separated: half as loud as the dry song
    bench.start(0)
    bench.work()
    ahead = bench.shared.stem.end
    while bench.shared.callback.position < ahead + SECOND:  # the worker sleeps
        bench.hear(1024)
    assert bench.shared.callback.read().kind == Kind.DRY
    heard, kinds = bench.play(SECOND)
    assert kinds[-1] == Kind.WET
    assert kinds == sorted(kinds, key=lambda kind: kind == Kind.WET)  # back once, and for good
    assert bench.shared.worker.skipped_hops * HOP >= SECOND - 8 * HOP
    position = bench.shared.callback.position
    np.testing.assert_allclose(heard[:, -8192:], 0.5 * song[:, position - 8192 : position], atol=1e-6)


def test_numbers_that_are_none_never_reach_the_ring() -> None:
    song = 0.1 * noise(6 * SECOND)
    song[:, 2 * SECOND : 2 * SECOND + 500] *= 10_000.0
    bench = Bench(BrokenWhenLoud(STEMS, [0.5, 0.5]), 4, song)
    bench.shared.transport.set_gain(1, 0.0)
    bench.start(0)
    bench.work()
    heard, kinds = bench.play(4 * SECOND)
    assert np.isfinite(heard).all()
    assert np.isfinite(bench.shared.stem.data).all()
    assert Kind.DRY in kinds
    assert bench.shared.worker.skipped_hops > 0
    at = 2 * SECOND // 512
    dry = [index for index, kind in enumerate(kinds) if kind != Kind.WET]
    # Only around the loud place: it poisons this network also as long as it lies among the hops that the first step
    # looks at.
    assert at - 16 <= min(dry) and max(dry) <= at + 2 * (19 + 8 + 4)
    assert kinds[-1] == Kind.WET


def test_a_new_worker_goes_on_where_the_last_one_stopped() -> None:
    song = noise(8 * SECOND)
    bench = Bench(ConstantMask(STEMS, [0.5, 0.5]), 8, song)
    bench.shared.transport.set_gain(1, 0.0)
    bench.start(0)
    bench.work()
    published = bench.shared.stem.end
    before = bench.stems(0, published)
    bench.hear(512)
    bench.start_worker()
    bench.work()
    assert (bench.shared.stem.begin, bench.shared.stem.epoch) == (0, bench.epoch)
    np.testing.assert_array_equal(bench.stems(0, published), before)  # never rewritten
    heard, kinds = bench.play(6 * SECOND)
    assert set(kinds) == {Kind.WET}
    np.testing.assert_allclose(heard, 0.5 * song[:, 512 : 512 + heard.shape[1]], atol=1e-6)


def test_a_new_worker_that_comes_too_late_joins_at_the_play_head() -> None:
    song = noise(8 * SECOND)
    bench = Bench(ConstantMask(STEMS, [0.5, 0.5]), 8, song)
    bench.start(0)
    bench.work()
    end = bench.shared.stem.end
    while bench.shared.callback.position < end + 9 * HOP:
        bench.hear(512)
    bench.start_worker()
    position = bench.shared.callback.position
    bench.work()
    assert position <= bench.shared.stem.begin <= position + SECOND
    _, kinds = bench.play(SECOND)
    assert kinds[-1] == Kind.WET
