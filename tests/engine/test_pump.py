"""The worker's loop body between two rings, in one process and in made-up time: the test decides when who
runs."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.audio.callback import mix_block
from rtsep.audio.callback_control import CallbackControl
from rtsep.dsp.deck import Deck, DeckLayout
from rtsep.dsp.grid import HOP
from rtsep.dsp.words import Kind, WorkerState
from rtsep.engine.compute import Stepper, choose_compute
from rtsep.engine.processor import Processor
from rtsep.engine.pump import AHEAD_LIMIT, Pump
from rtsep.engine.separator import Separator
from rtsep.nn.constant import ConstantMask
from rtsep.nn.contract import StreamingNetwork
from rtsep.nn.frame_transformer import FrameTransformer
from tests.engine.networks import BrokenWhenLoud, Delayed, Remembering

STEMS = ["vocals", "instrumental"]
SECOND = 44100


def noise(samples: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (2, samples)).astype(np.float32)


class Bench:
    """A deck whose source, worker and callback take turns as the test says."""

    def __init__(
        self, network: StreamingNetwork, chunk: int | None, song: np.ndarray, latency: str = "standard"
    ) -> None:
        layout = DeckLayout(stems=tuple(network.stems), mixture_capacity=2**20)
        self.deck = Deck(layout, bytearray(layout.nbytes))
        self.deck.initialise()
        self.network, self.chunk, self.song, self.latency = network, chunk, song, latency
        self.start_worker()
        self.control = CallbackControl(self.deck)
        self.output = np.zeros((8192, 2), np.float32)
        self.epoch = 0
        self.deck.transport.playing = True

    def start_worker(self) -> None:
        stepper = Stepper(self.network, choose_compute("cpu"), 32)
        self.pump = Pump(self.deck, Processor(stepper, self.latency), self.chunk)
        self.pump.calibrate()

    def start(self, target: int, past_hops: int = 195) -> None:
        """What source and transport do for a seek; the whole rest of the song is written at once."""
        self.epoch += 1
        start = target // HOP * HOP
        begin = start - past_hops * HOP
        ring = self.deck.mixture
        ring.restart(self.epoch, begin, start)
        ring.finish(self.song.shape[1])
        before = np.zeros((2, max(-begin, 0)), np.float32)
        after = np.zeros((2, 64 * HOP), np.float32)
        written = np.concatenate([before, self.song[:, max(begin, 0) :], after], axis=1)
        assert written.shape[1] <= ring.capacity
        ring.write(written)
        self.deck.transport.post(target, self.epoch, 0)

    def work(self, until: WorkerState = WorkerState.AHEAD, turns: int = 2000) -> None:
        """Let the worker turn until it has nothing left to do."""
        for _ in range(turns):
            pause_s = self.pump.turn()
            if pause_s > 0 and self.deck.worker.state in (until, WorkerState.ENDED):
                return
        raise AssertionError(f"not {until.name} after {turns} turns: {self.deck.worker.state}")

    def hear(self, frames: int) -> np.ndarray:
        """What the callback gives, (2, frames)."""
        output = self.output[:frames]
        mix_block(self.control.words, output, frames)
        return output.T.copy()

    def play(self, frames: int, block: int = 512, turns: int = 6) -> tuple[np.ndarray, list[Kind]]:
        """Callback and worker in turns."""
        pieces, kinds = [], []
        for _ in range(frames // block):
            pieces.append(self.hear(block))
            kinds.append(self.deck.callback.read().kind)
            for _ in range(turns):
                self.pump.turn()
        return np.concatenate(pieces, axis=1), kinds

    def stems(self, begin: int, end: int) -> np.ndarray:
        out = np.zeros((self.deck.stem.rows, end - begin), np.float32)
        assert self.deck.stem.read(begin, out, self.epoch)
        return out.reshape(-1, 2, end - begin)


def steps(bench: Bench, count: int) -> tuple[list[int], list[int]]:
    """The next steps of the worker: the hop that each begins with, and its frames."""
    begins, sizes = [], []
    while len(sizes) < count:
        before = bench.deck.worker.recent_times().size
        pause_s = bench.pump.turn()
        if bench.deck.worker.recent_times().size > before:
            sizes.append(bench.deck.worker.chunk)
            begins.append(bench.pump._next_in // HOP - sizes[-1])
        elif pause_s > 0 and bench.deck.worker.state == WorkerState.AHEAD:
            break
    return begins, sizes


def separated(network: StreamingNetwork, chunk: int, song: np.ndarray, latency: str = "standard") -> np.ndarray:
    """(S, 2, n), in process."""
    separator = Separator(Processor(Stepper(network, choose_compute("cpu"), chunk), latency), chunk)
    pieces = [separator.feed(song), separator.flush()]
    return np.stack([np.concatenate([piece[stem] for piece in pieces], axis=1) for stem in network.stems])


@pytest.fixture(scope="module")
def transformer() -> FrameTransformer:
    import torch

    torch.manual_seed(3)
    return FrameTransformer(stems=STEMS, widths=(8, 8, 8), width=256, layers=(1, 1, 1))


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
    assert bench.deck.stem.begin == start
    assert start + 3 * SECOND < bench.deck.stem.end <= start + AHEAD_LIMIT
    heard, kinds = bench.play(4 * SECOND)
    assert set(kinds) == {Kind.WET}
    assert bench.deck.stem.end <= bench.deck.callback.position + AHEAD_LIMIT
    at = 2 * SECOND + 5
    np.testing.assert_allclose(heard[:, 64:], song[:, at + 64 : at + heard.shape[1]], atol=1e-6)


def test_chunks_are_small_until_there_is_lead(transformer: FrameTransformer) -> None:
    bench = Bench(transformer, None, noise(8 * SECOND))
    bench.start(0)
    begins, sizes = steps(bench, 30)
    assert sizes[0] == 4
    assert max(sizes) == 32
    assert begins == sorted(begins)


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


def test_a_song_is_played_to_its_last_sample() -> None:
    song = noise(SECOND + 301)
    for chunk in (None, 1, 32):
        bench = Bench(ConstantMask(STEMS, [0.25, 0.75]), chunk, song)
        bench.start(0)
        bench.work()
        heard, _ = bench.play(SECOND + 2048, block=441)
        head = bench.deck.callback.read()
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
        assert bench.deck.worker.state == WorkerState.ENDED
        end = bench.deck.stem.end
        assert song.shape[1] <= end < song.shape[1] + (chunk or 32) * HOP
        np.testing.assert_allclose(bench.stems(target, song.shape[1]).sum(axis=0), song[:, target:], atol=1e-5)
    hops = bench.deck.worker.hops
    for _ in range(50):
        assert bench.pump.turn() > 0
    assert bench.deck.worker.hops == hops


def test_a_worker_that_is_late_skips_to_the_play_head_and_comes_back() -> None:
    song = noise(8 * SECOND)
    bench = Bench(ConstantMask(STEMS, [0.5, 0.5]), 8, song)
    bench.deck.transport.set_gain(1, 0.0)  # separated: half as loud as the dry song
    bench.start(0)
    bench.work()
    ahead = bench.deck.stem.end
    while bench.deck.callback.position < ahead + SECOND:  # the worker sleeps
        bench.hear(1024)
    assert bench.deck.callback.read().kind == Kind.DRY
    heard, kinds = bench.play(SECOND)
    assert kinds[-1] == Kind.WET
    assert kinds == sorted(kinds, key=lambda kind: kind == Kind.WET)  # back once, and for good
    assert bench.deck.worker.skipped_hops * HOP >= SECOND - 8 * HOP
    position = bench.deck.callback.position
    np.testing.assert_allclose(heard[:, -8192:], 0.5 * song[:, position - 8192 : position], atol=1e-6)


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


def test_numbers_that_are_none_never_reach_the_ring() -> None:
    song = 0.1 * noise(6 * SECOND)
    song[:, 2 * SECOND : 2 * SECOND + 500] *= 10_000.0
    bench = Bench(BrokenWhenLoud(STEMS, [0.5, 0.5]), 4, song)
    bench.deck.transport.set_gain(1, 0.0)
    bench.start(0)
    bench.work()
    heard, kinds = bench.play(4 * SECOND)
    assert np.isfinite(heard).all()
    assert np.isfinite(bench.deck.stem.data).all()
    assert Kind.DRY in kinds
    assert bench.deck.worker.skipped_hops > 0
    at = 2 * SECOND // 512
    dry = [index for index, kind in enumerate(kinds) if kind != Kind.WET]
    # Only around the loud place: it poisons this network also as long as it lies among the hops that the first step
    # looks at.
    assert at - 16 <= min(dry) and max(dry) <= at + 2 * (19 + 8 + 4)
    assert kinds[-1] == Kind.WET


def test_a_new_worker_goes_on_where_the_last_one_stopped() -> None:
    song = noise(8 * SECOND)
    bench = Bench(ConstantMask(STEMS, [0.5, 0.5]), 8, song)
    bench.deck.transport.set_gain(1, 0.0)
    bench.start(0)
    bench.work()
    published = bench.deck.stem.end
    before = bench.stems(0, published)
    bench.hear(512)
    bench.start_worker()
    bench.work()
    assert (bench.deck.stem.begin, bench.deck.stem.epoch) == (0, bench.epoch)
    np.testing.assert_array_equal(bench.stems(0, published), before)  # never rewritten
    heard, kinds = bench.play(6 * SECOND)
    assert set(kinds) == {Kind.WET}
    np.testing.assert_allclose(heard, 0.5 * song[:, 512 : 512 + heard.shape[1]], atol=1e-6)


def test_a_new_worker_that_comes_too_late_joins_at_the_play_head() -> None:
    song = noise(8 * SECOND)
    bench = Bench(ConstantMask(STEMS, [0.5, 0.5]), 8, song)
    bench.start(0)
    bench.work()
    end = bench.deck.stem.end
    while bench.deck.callback.position < end + 9 * HOP:
        bench.hear(512)
    bench.start_worker()
    position = bench.deck.callback.position
    bench.work()
    assert position <= bench.deck.stem.begin <= position + SECOND
    _, kinds = bench.play(SECOND)
    assert kinds[-1] == Kind.WET


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


def test_it_sleeps_when_there_is_nothing_to_do() -> None:
    bench = Bench(ConstantMask(STEMS, [0.5, 0.5]), None, noise(8 * SECOND))
    assert bench.pump.turn() >= 0.001  # no epoch yet
    bench.start(0)
    bench.work()
    assert all(bench.pump.turn() >= 0.001 for _ in range(20))  # far enough ahead
    bench.song = noise(20000)
    bench.start(0)
    bench.work(WorkerState.ENDED)
    assert all(bench.pump.turn() >= 0.001 for _ in range(20))  # the song is over


def test_it_sleeps_towards_the_next_hop_of_a_live_source() -> None:
    bench = Bench(ConstantMask(STEMS, [0.5, 0.5]), 1, noise(1))
    ring = bench.deck.mixture
    ring.restart(1, 0, 0)
    ring.write(noise(8 * HOP))
    while (pause_s := bench.pump.turn()) == 0:
        pass
    ring.write(noise(HOP - 30))
    assert bench.deck.stem.end == 5 * HOP
    assert 0 < bench.pump.turn() <= 0.001  # 30 samples are 0.7 ms away
    ring.write(noise(30))
    bench.pump.turn()
    assert bench.deck.stem.end == 6 * HOP
    assert pause_s <= 0.01
