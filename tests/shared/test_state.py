"""The shared state: one layout for every process, writers apart from each other, fields by name."""

import dataclasses
import itertools
import subprocess
import sys

import numpy as np
import pytest

from rtsep.shared import status as at
from rtsep.shared.atomics import store_i64
from rtsep.shared.rings import NO_EOF, NO_EPOCH, RingHeader
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import LINE_BYTES, Kind, Network, WorkerState

SMALL = SharedLayout(("vocals", "instrumental"), mixture_capacity=1024, stem_capacity=512)


def spans(shared: SharedState) -> dict[str, tuple[int, int]]:
    """Bytes of every part within the block."""
    parts = {
        "mixture header": shared.mixture.fields,
        "stem header": shared.stem.fields,
        "transport": shared.transport.fields,
        "gains": shared.transport.gains,
        "callback": shared.callback.fields,
        "worker": shared.worker.fields,
        "times": shared.worker.times,
        "mixture": shared.mixture.data,
        "stems": shared.stem.data,
        "kept header": shared.kept.fields,
        "kept": shared.kept.data,
        "ready header": shared.ready.fields,
        "ready": shared.ready.data,
        "practice header": shared.practice.fields,
        "practice": shared.practice.data,
        "places": shared.practice_places,
    }
    base = shared.mixture.fields.ctypes.data
    return {name: (a.ctypes.data - base, a.ctypes.data - base + a.nbytes) for name, a in parts.items()}


@pytest.mark.parametrize(
    "layout", [SMALL, SharedLayout(("one",)), SharedLayout(tuple("abcdefgh"), mixture_capacity=8, stem_capacity=16)]
)
def test_parts_do_not_overlap_nor_share_a_cache_line(layout) -> None:
    shared = SharedState.create(layout)
    parts = sorted(spans(shared).values())
    for (_, end), (begin, _) in itertools.pairwise(parts):
        assert begin % LINE_BYTES == 0
        assert begin >= end
    assert parts[-1][1] == layout.nbytes
    assert shared.mixture.data.ctypes.data % 4096 == 0
    assert shared.stem.data.ctypes.data % 4096 == 0
    assert shared.stem.data.shape == (2 * len(layout.stems), layout.stem_capacity)
    shared.close()


def test_the_layout_travels_as_json() -> None:
    again = SharedLayout.from_json(SMALL.to_json())
    assert again == SMALL
    assert again.nbytes == SMALL.nbytes
    assert dataclasses.asdict(again)["stems"] == ("vocals", "instrumental")


def test_impossible_layouts_are_refused() -> None:
    with pytest.raises(ValueError, match="1 to 8 stems"):
        SharedLayout(())
    with pytest.raises(ValueError, match="1 to 8 stems"):
        SharedLayout(tuple("abcdefghi"))
    with pytest.raises(ValueError, match="stereo"):
        SharedLayout(("a",), channels=1)
    with pytest.raises(ValueError, match="power of two"):
        SharedState(SharedLayout(("a",), mixture_capacity=1000), bytearray(10**7))
    with pytest.raises(ValueError, match="shared state needs"):
        SharedState(SMALL, bytearray(SMALL.nbytes - 1))


def test_a_new_shared_state_is_silent_and_has_no_epoch() -> None:
    shared = SharedState.create(SMALL)
    assert shared.mixture.header() == shared.stem.header() == RingHeader(NO_EPOCH, 0, 0, NO_EOF, 0)
    head = shared.callback.read()
    assert (head.epoch, head.position, head.kind, head.ended, head.ack) == (NO_EPOCH, 0, Kind.SILENT, False, 0)
    assert not shared.transport.playing
    assert not shared.transport.bypass
    assert [shared.transport.gain(stem) for stem in range(8)] == [1.0] * 8
    assert shared.transport.master == 1.0
    assert shared.worker.state == WorkerState.STARTING
    assert len(shared.worker.recent_times()) == 0
    shared.close()


CHILD = """
import sys
import numpy as np
from rtsep.shared.state import SharedState, SharedLayout
from rtsep.shared.status import WorkerState
shared = SharedState.attach(SharedLayout.from_json(sys.argv[2]), int(sys.argv[1]))
assert shared.transport.playing and shared.transport.gain(1) == 0.5
shared.worker.state = WorkerState.RUNNING
shared.worker.hops = 2**40
for i in range(5000):
    shared.worker.add_time(i / 2)
shared.stem.restart(4, 100, 100)
shared.stem.write(np.full((4, 10), 0.25, np.float32))
"""


def test_a_worker_in_another_process_reads_and_writes_its_fields() -> None:
    shared = SharedState.create(SMALL)
    shared.transport.playing = True
    shared.transport.set_gain(1, 0.5)
    assert shared.block is not None
    command = [sys.executable, "-c", CHILD, str(shared.block.fd), SMALL.to_json()]
    subprocess.run(command, pass_fds=[shared.block.fd], check=True)
    assert WorkerState(shared.worker.state) is WorkerState.RUNNING
    assert shared.worker.hops == 2**40
    np.testing.assert_array_equal(shared.worker.recent_times(), np.arange(904, 5000) / 2)
    out = np.zeros((4, 10), np.float32)
    assert shared.stem.read(100, out, 4)
    assert (out == 0.25).all()
    shared.close()
    shared.close()


def test_fields_that_are_set_are_read() -> None:
    shared = SharedState.create(SMALL)
    shared.transport.playing = True
    shared.transport.bypass = True
    shared.transport.master = 0.25
    assert shared.transport.playing
    assert shared.transport.bypass
    assert shared.transport.master == 0.25
    shared.transport.bypass = False
    assert not shared.transport.bypass
    for name in ("chunk", "late_hops", "skipped_hops", "heartbeat"):
        setattr(shared.worker, name, 12)
        assert getattr(shared.worker, name) == 12
    for stem in (-1, 8):
        with pytest.raises(ValueError, match="stem number"):
            shared.transport.set_gain(stem, 1.0)
        with pytest.raises(ValueError, match="stem number"):
            shared.transport.gain(stem)
    shared.close()


def test_the_play_head_has_a_name_for_every_field() -> None:
    shared = SharedState.create(SMALL)
    for index in range(at.POSITION, at.BYPASS_SAMPLES + 1):
        store_i64(shared.callback.fields, index, 1000 + index)
    store_i64(shared.callback.fields, at.KIND, Kind.DRY)
    store_i64(shared.callback.fields, at.ENDED, 1)
    head = shared.callback.read()
    assert (head.position, head.epoch, head.ack, head.kind, head.ended) == (1001, 1002, 1003, Kind.DRY, True)
    assert (head.blocks, head.frames, head.late_blocks) == (1006, 1007, 1008)
    assert (head.dry_samples, head.starved_samples, head.clipped_samples) == (1009, 1010, 1011)
    assert (head.wet_samples, head.max_block, head.bypass_samples) == (1012, 1013, 1014)
    assert (shared.callback.position, shared.callback.frames, shared.callback.ack) == (1001, 1007, 1003)
    shared.close()


def test_a_status_that_is_being_written_is_never_returned_half_written() -> None:
    """A callback that the system interrupts while it writes: the last complete status, not a mixture of two."""
    shared = SharedState.create(SMALL)
    fields = shared.callback.fields
    store_i64(fields, at.SEQUENCE, 5)
    store_i64(fields, at.POSITION, 76)
    assert shared.callback.read()[:2] == (0, NO_EPOCH)  # none was complete so far
    store_i64(fields, at.CALLBACK_EPOCH, 3)
    store_i64(fields, at.SEQUENCE, 6)
    assert shared.callback.read()[:2] == (76, 3)
    store_i64(fields, at.SEQUENCE, 7)
    store_i64(fields, at.POSITION, 1000)
    assert shared.callback.read()[:2] == (76, 3)
    shared.close()


def test_the_network_at_a_position_is_known_though_both_changes_lie_ahead() -> None:
    layout = SharedLayout(("one",))
    worker = SharedState(layout, bytearray(layout.nbytes)).worker
    worker.begin_with_instant()
    assert worker.network_at(0) == Network.INSTANT
    worker.change_network(Network.MODEL, 5000)
    worker.change_network(Network.INSTANT, 9000)
    heard = [worker.network_at(position) for position in (4999, 5000, 8999, 9000)]
    assert heard == [Network.INSTANT, Network.MODEL, Network.MODEL, Network.INSTANT]
    worker.change_network(Network.MODEL, 20_000)
    assert [worker.network_at(position) for position in (19_999, 20_000)] == [Network.INSTANT, Network.MODEL]
