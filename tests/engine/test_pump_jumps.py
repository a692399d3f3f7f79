"""The worker's loop body after a jump: the first step, the grid of chunks, the past that comes later, kept stems."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.dsp.grid import HOP
from rtsep.engine.compute import Stepper, choose_compute
from rtsep.engine.processor import Processor
from rtsep.nn.constant import ConstantMask
from rtsep.nn.frame_transformer import FrameTransformer
from tests.engine.networks import Remembering
from tests.engine.pump_bench import SECOND, STEMS, Bench, noise, steps


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
    while not bench.deck.worker.hops:
        bench.pump.turn()
    bench.deck.mixture.prepend(song[:, 20 * HOP : 196 * HOP])
    bench.work()
    vocals = bench.stems(215 * HOP, 300 * HOP)[0]
    np.testing.assert_allclose(vocals[:, 24 * HOP :], song[:, 239 * HOP : 300 * HOP], atol=1e-6)


def test_kept_stems_are_published_at_once_and_ones_own_follow_without_a_seam() -> None:
    song = noise(8 * SECOND)
    bench = Bench(ConstantMask(STEMS, [0.25, 0.75]), None, song)
    kept = np.concatenate([0.5 * song, 0.5 * song])[:, 100 * HOP : 140 * HOP]
    bench.deck.kept.restart(1, 100 * HOP, 100 * HOP)
    bench.deck.kept.write(np.ascontiguousarray(kept))
    bench.start(100 * HOP + 77)
    bench.pump.turn()
    assert bench.deck.stem.begin == 100 * HOP
    assert bench.deck.stem.end >= 139 * HOP
    bench.work()
    vocals = bench.stems(100 * HOP, 200 * HOP)[0] / song[:, 100 * HOP : 200 * HOP]
    np.testing.assert_allclose(vocals[:, : 39 * HOP], 0.5, atol=1e-4)
    ramp = 0.5 - 0.25 * np.arange(1, HOP + 1) / (HOP + 1)
    loud = np.abs(song[:, 139 * HOP : 140 * HOP]) > 0.01
    np.testing.assert_allclose(vocals[:, 39 * HOP : 40 * HOP][loud], np.stack([ramp, ramp])[loud], atol=1e-3)
    loud = np.abs(song[:, 140 * HOP : 200 * HOP]) > 0.01
    np.testing.assert_allclose(vocals[:, 40 * HOP :][loud], 0.25, atol=1e-3)
    bench.start(100 * HOP + 77)  # another epoch has nothing to do with them
    bench.pump.turn()
    assert bench.deck.stem.epoch != bench.epoch or bench.deck.stem.end < 139 * HOP


def test_with_time_to_spare_the_full_context_is_given(transformer: FrameTransformer) -> None:
    """A second into an epoch that began in mid-song the stems are those of a network that knows the 192
    frames before."""
    song = noise(9 * SECOND)
    bench = Bench(transformer, 32, song)
    start = 5 * SECOND // HOP * HOP
    bench.start(start)
    deepened = []
    original = bench.pump._processor.warming

    def spy(mixture: np.ndarray, prime: int):
        deepened.append((mixture.shape[1] // HOP, prime, bench.pump._next_in))
        return original(mixture, prime)

    bench.pump._processor.warming = spy  # type: ignore[method-assign]
    bench.work()
    (first_hops, first_prime, _), (hops, prime, at) = deepened
    assert (first_hops, first_prime) == (3, 3)
    assert (hops, prime) == (195, 3)
    again = Processor(Stepper(transformer, choose_compute("cpu"), 32))
    again.warm(song[:, at - 195 * HOP : at])
    out = np.zeros((2, 2, 32 * HOP), np.float32)
    again.process(np.ascontiguousarray(song[:, at : at + 32 * HOP]), out)
    # The first three hops overlap with frames from before; the others are this second network's alone.
    np.testing.assert_allclose(bench.stems(at, at + 29 * HOP), out[:, :, 3 * HOP :], atol=1e-5)
    total = bench.stems(start, at + 29 * HOP).sum(axis=0)
    np.testing.assert_allclose(total, song[:, start : at + 29 * HOP], atol=1e-5)  # no seam


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
            bench.pump.turn()
            header = bench.deck.stem.header()
            assert header.epoch <= bench.epoch
            if header.epoch == bench.epoch:
                assert header.begin == target // HOP * HOP
