"""The worker's loop body after a jump: the first step, the grid of chunks, the past that comes later, kept stems."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.nn.constant import ConstantMask
from rtsep.nn.frame_transformer import FrameTransformer
from rtsep.nn.windowed import Windowed
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from rtsep.separation.processor import Processor
from rtsep.timebase import HOP
from tests.engine.worker_loop_bench import SECOND, STEMS, Bench, noise, separated, steps
from tests.networks import LevelShares, Remembering


@pytest.mark.parametrize("target_hop", [1, 5, 60, 61, 62, 63, 64, 100])
def test_chunks_lie_on_a_grid_of_the_song_wherever_playing_begins(
    transformer: FrameTransformer, target_hop: int
) -> None:
    """So that a second after a jump the network is asked the very questions of uninterrupted play."""
    bench = Bench(transformer, None, noise(8 * SECOND))
    bench.start(target_hop * HOP + 7)
    begins, sizes = steps(bench, 30)
    assert sizes[0] == 16  # the past and the first hops in one step,
    published = begins[0] + 16 - 3 - target_hop
    assert 2 <= published <= 5 or target_hop <= 11  # a play head at the end of the first hop needs two
    assert begins[1] % 4 == 0
    assert 32 in sizes
    for begin, size in zip(begins[1:], sizes[1:], strict=True):
        assert begin % size == 0


@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_a_chunk_asked_for_is_kept_once_its_grid_is_reached(transformer: FrameTransformer, chunk: int) -> None:
    bench = Bench(transformer, chunk, noise(6 * SECOND))
    bench.start(61 * HOP)
    begins, sizes = steps(bench, 12)
    assert sizes[0] == 16
    assert begins[0] + 16 - 3 - 61 <= min(chunk, 4)  # a live source is not waited for any longer
    first = next(index for index, size in enumerate(sizes[1:], 1) if size == chunk)
    assert first <= 4
    assert set(sizes[first:]) == {chunk}


def test_after_a_jump_the_network_knows_the_last_frames_before() -> None:
    """Frames it has not seen would show in this network's masks."""
    song = noise(8 * SECOND)
    bench = Bench(Remembering(STEMS, [0.5, 0.5]), 4, song)
    bench.start(215 * HOP, past_hops=19)
    bench.work()
    vocals = bench.stems(215 * HOP, 300 * HOP)[0]
    # The first step ends at hop 220 and so begins with hop 204, which completes frame 201, the first that it sees: the
    # mask is 1 from frame 241 on, whose last neighbour without is frame 240 with its hops up to 243.
    assert np.abs(vocals[:, : 26 * HOP]).max() <= 1e-6
    np.testing.assert_allclose(vocals[:, 29 * HOP :], song[:, 244 * HOP : 300 * HOP], atol=1e-6)


def test_a_past_that_comes_later_is_heard_then() -> None:
    """The source delivers what is to be heard first; the rest of the past lies in the ring a little later."""
    song = noise(8 * SECOND)
    bench = Bench(Remembering(STEMS, [0.5, 0.5]), 4, song)
    bench.start(215 * HOP, past_hops=19)
    while not bench.shared.worker.hops:
        bench.worker_loop.turn()
    bench.shared.mixture.prepend(song[:, 20 * HOP : 196 * HOP])
    bench.work()
    vocals = bench.stems(215 * HOP, 300 * HOP)[0]
    np.testing.assert_allclose(vocals[:, 24 * HOP :], song[:, 239 * HOP : 300 * HOP], atol=1e-6)


def test_kept_stems_are_published_at_once_and_ones_own_follow_without_a_seam() -> None:
    song = noise(8 * SECOND)
    bench = Bench(ConstantMask(STEMS, [0.25, 0.75]), None, song)
    kept = np.concatenate([0.5 * song, 0.5 * song])[:, 100 * HOP : 140 * HOP]
    bench.shared.kept.restart(1, 100 * HOP, 100 * HOP)
    bench.shared.kept.write(np.ascontiguousarray(kept))
    bench.start(100 * HOP + 77)
    bench.worker_loop.turn()
    assert bench.shared.stem.begin == 100 * HOP
    assert bench.shared.stem.end >= 139 * HOP
    bench.work()
    vocals = bench.stems(100 * HOP, 200 * HOP)[0] / song[:, 100 * HOP : 200 * HOP]
    np.testing.assert_allclose(vocals[:, : 39 * HOP], 0.5, atol=1e-4)
    ramp = 0.5 - 0.25 * np.arange(1, HOP + 1) / (HOP + 1)
    loud = np.abs(song[:, 139 * HOP : 140 * HOP]) > 0.01
    np.testing.assert_allclose(vocals[:, 39 * HOP : 40 * HOP][loud], np.stack([ramp, ramp])[loud], atol=1e-3)
    loud = np.abs(song[:, 140 * HOP : 200 * HOP]) > 0.01
    np.testing.assert_allclose(vocals[:, 40 * HOP :][loud], 0.25, atol=1e-3)
    bench.start(100 * HOP + 77)  # another epoch has nothing to do with them
    bench.worker_loop.turn()
    assert bench.shared.stem.epoch != bench.epoch or bench.shared.stem.end < 139 * HOP


@pytest.mark.parametrize(("chunk", "target_hop"), [(None, 260), (None, 275), (32, 260)])
def test_with_time_to_spare_the_full_context_is_given(
    transformer: FrameTransformer, chunk: int | None, target_hop: int
) -> None:
    """From then on the stems are those of a network that heard all that and steps where uninterrupted play does."""
    song = noise(12 * SECOND)
    bench = Bench(transformer, chunk, song)
    start = target_hop * HOP
    bench.start(start, past_hops=259)
    warmed: list[tuple[int, int, int]] = []
    taken: list[tuple[int, int, int]] = []
    processor = bench.worker_loop._processor
    warming, process = processor.warming, processor.process

    def spy_on_warming(mixture: np.ndarray, prime: int):
        warmed.append((mixture.shape[1] // HOP, prime, bench.worker_loop._plan.next_hop))
        return warming(mixture, prime)

    def spy_on_process(mixture: np.ndarray, out: np.ndarray, again: int) -> None:
        taken.append((bench.worker_loop._plan.next_hop, mixture.shape[1] // HOP, again))
        process(mixture, out, again)

    processor.warming, processor.process = spy_on_warming, spy_on_process  # type: ignore[method-assign]
    bench.work()
    (first_hops, first_prime, _), *parts, (hops, prime, at) = warmed
    assert len(parts) <= 2
    assert (first_hops, first_prime, prime) == (3, 3, 3)
    begin, again = next((hop, again) for hop, _, again in taken[1:] if hop + again == at)
    assert begin % 32 == 0
    assert hops == min(3 + 224, begin)
    network = Processor(TorchStepper(transformer, choose_compute("cpu"), 32))
    network.warm(song[:, (begin - hops) * HOP : begin * HOP])
    expected = np.zeros((2, 2, 32 * HOP), np.float32)
    network.process(np.ascontiguousarray(song[:, begin * HOP : (begin + 32) * HOP]), expected)
    # The first three hops overlap with frames from before; the others are this second network's alone.
    end = (begin + 29) * HOP
    np.testing.assert_allclose(bench.stems(at * HOP, end), expected[:, :, (3 + again) * HOP :], atol=1e-5)
    np.testing.assert_allclose(bench.stems(start, end).sum(axis=0), song[:, start:end], atol=1e-5)  # no seam


@pytest.mark.parametrize("past_hops", [11, 40, 259])
def test_a_network_that_looks_far_ahead_leaves_no_gap_when_it_hears_more_of_the_past(past_hops: int) -> None:
    """The first masks after a reset belong to no frame, and there are 63 of them."""
    song = noise(12 * SECOND)
    bench = Bench(Windowed(LevelShares(), 128, 32, 32, 8), None, song)
    bench.start(260 * HOP, past_hops=past_hops)
    bench.work()
    begin, end = 260 * HOP, bench.shared.stem.end
    assert end > begin + 2 * SECOND
    stems = bench.stems(begin, end)
    np.testing.assert_allclose(stems.sum(axis=0), song[:, begin:end], atol=1e-5)
    expected = separated(Windowed(LevelShares(), 1, 1), 32, song)[:, :, begin:end]
    np.testing.assert_allclose(stems, expected, atol=1e-5)


def test_with_lead_the_sound_for_a_longest_chunk_is_waited_for(transformer: FrameTransformer) -> None:
    """And when the lead is used up, what there is is taken."""
    bench = Bench(transformer, None, noise(1))
    bench.shared.mixture.restart(1, 0, 0)
    bench.shared.mixture.write(noise(50 * HOP))
    bench.shared.transport.post(0, 1, 0)
    for _ in range(100):
        bench.worker_loop.turn()
    assert bench.shared.stem.end == 29 * HOP
    while bench.shared.callback.position < 25 * HOP:
        bench.hear(512)
        bench.worker_loop.turn()
    for _ in range(100):
        bench.worker_loop.turn()
    assert bench.shared.stem.end == 45 * HOP


def test_a_worker_that_was_late_before_a_jump_skips_nothing_after_it() -> None:
    bench = Bench(ConstantMask(STEMS, [0.5, 0.5]), None, noise(12 * SECOND))
    bench.start(0)
    bench.work()
    while bench.shared.callback.position < bench.shared.stem.end + SECOND:  # the worker sleeps
        bench.hear(1024)
    bench.worker_loop.turn()
    bench.start(100 * HOP)
    bench.work()
    assert bench.shared.stem.begin == 100 * HOP
    assert bench.shared.worker.skipped_hops == 0


def test_a_seek_in_the_middle_of_everything_publishes_only_the_new_epoch(
    transformer: FrameTransformer,
) -> None:
    song = noise(8 * SECOND)
    bench = Bench(transformer, None, song)
    random = np.random.default_rng(5)
    for _ in range(25):
        target = int(random.integers(0, 7 * SECOND))
        bench.start(target)
        for _ in range(int(random.integers(0, 12))):
            bench.worker_loop.turn()
            header = bench.shared.stem.header()
            assert header.epoch <= bench.epoch
            if header.epoch == bench.epoch:
                assert header.begin == target // HOP * HOP
