"""The compiled capture against NumPy, and a duplex block: what came in is behind the play position at once."""

import ctypes
from typing import Any

import numpy as np
import pytest

from rtsep.audio.callback.capture import CaptureControl, capture_block, capture_callback, duplex_callback
from rtsep.audio.callback.control import CallbackControl
from rtsep.dsp.corrector import DELAY
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import Kind
from rtsep.shared.stream_clock import last_stamp, new_clock

CAPACITY = 2**14
C_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p
)


def make_deck() -> SharedState:
    layout = SharedLayout(("one", "two"), mixture_capacity=CAPACITY, stem_capacity=CAPACITY)
    shared = SharedState(layout, bytearray(layout.nbytes))
    shared.initialise()
    shared.mixture.restart(1, 0, 0)
    return shared


def folded(sound: np.ndarray) -> np.ndarray:
    """(n, channels) -> (2, n): the first two channels, or the only one twice; what is no number is silence."""
    pair = sound[:, [0, min(1, sound.shape[1] - 1)]].T
    return np.where(np.isfinite(pair), pair, np.float32(0))


@pytest.mark.parametrize("channels", [1, 2, 3, 18])
def test_blocks_of_any_size_arrive_folded_and_in_place(channels: int) -> None:
    rng = np.random.default_rng(channels)
    shared = make_deck()
    control = CaptureControl(shared, channels)
    sound = rng.standard_normal((5 * CAPACITY, channels)).astype(np.float32)
    sound[rng.random(sound.shape) < 0.001] = np.nan
    sound[rng.random(sound.shape) < 0.001] = -np.inf
    expected = folded(sound)
    done, sizes = 0, [1, 7, 256, 441, 1024, 8192, 8193, 20000, 0, 64]
    blocks = 0
    while done < len(sound):
        n = min(sizes[blocks % len(sizes)], len(sound) - done)
        capture_block(control.fields, np.ascontiguousarray(sound[done : done + n]), n)
        done += n
        blocks += 1
        assert shared.mixture.end == done
        there = min(done, CAPACITY)
        out = np.zeros((2, there), np.float32)
        assert shared.mixture.read(done - there, out, 1)
        np.testing.assert_array_equal(out, expected[:, done - there : done])
    assert (control.frames, control.max_block) == (len(sound), 20000)
    pair = sound[:, [0, min(1, channels - 1)]]
    assert control.bad_samples == np.count_nonzero(~np.isfinite(pair))


def call(function: Any, control: np.ndarray, source: np.ndarray, adc_s: float, dac_s: float, flags: int = 0):
    """One call as PortAudio makes it; returns the output (frames, 2)."""
    output = np.full((len(source), 2), np.nan, np.float32)
    times = np.array([adc_s, 5.0, dac_s])
    answer = C_CALLBACK(function.address)(
        source.ctypes.data, output.ctypes.data, len(source), times.ctypes.data, flags, control.ctypes.data
    )
    assert answer == 0
    return output


def test_the_c_function_captures_counts_overflows_and_stamps_the_end() -> None:
    shared = make_deck()
    control = CaptureControl(shared, 2)
    sound = np.random.default_rng(0).standard_normal((441, 2)).astype(np.float32)
    assert last_stamp(control.clock) is None
    call(capture_callback, control.fields, sound, 10.0, 0.0)
    call(capture_callback, control.fields, sound, 10.01, 0.0, flags=2)
    assert control.overflows == 1
    assert last_stamp(control.clock) == (882, pytest.approx(10.02, abs=1e-6))  # 441 samples are 10 ms
    assert shared.mixture.end == 882
    call(capture_callback, control.fields, sound, 0.0, 0.0)  # a host that does not know: the time of the call
    assert last_stamp(control.clock) == (3 * 441, pytest.approx(5.01, abs=1e-6))
    lost: Any = capture_callback  # PortAudio may call without input
    assert C_CALLBACK(lost.address)(None, None, 441, None, 0, control.fields.ctypes.data) == 0
    assert control.frames == 3 * 441


def test_with_another_clock_to_follow_it_is_the_same_sound_a_little_later() -> None:
    """Until a drift is known the ratio is 1, and nothing is changed."""
    shared = make_deck()
    control = CaptureControl(shared, 2, master=new_clock())
    sound = np.random.default_rng(5).uniform(-0.5, 0.5, (9000, 2)).astype(np.float32)
    done = 0
    for n in (1, 441, 256, 5000, 3302):
        call(capture_callback, control.fields, sound[done : done + n].copy(), 1.0 + done / 44100, 0.0)
        done += n
    assert done == shared.mixture.end == 9000
    out = np.zeros((2, 9000), np.float32)
    assert shared.mixture.read(0, out, 1)
    np.testing.assert_array_equal(out[:, DELAY:], sound.T[:, :-DELAY])
    assert control.delay_s == pytest.approx(DELAY / 44100)
    # The sample at the ring's end entered that much earlier than the block's end.
    assert last_stamp(control.clock) == (9000, pytest.approx(1.0 + (9000 - DELAY) / 44100, abs=1e-6))
    assert control.correction_ppm == 0.0


def test_a_device_at_48_khz_fills_the_ring_at_the_engines_rate() -> None:
    shared = make_deck()
    control = CaptureControl(shared, 1, 48000)
    time_s = np.arange(12000) / 48000
    tone = (0.5 * np.sin(2 * np.pi * 997 * time_s)).astype(np.float32)[:, None]
    for first in range(0, 12000, 480):
        capture_block(control.fields, np.ascontiguousarray(tone[first : first + 480]), 480)
    assert abs(shared.mixture.end - 12000 * 44100 / 48000) <= 2
    assert control.max_block in (441, 442)
    out = np.zeros((2, 8000), np.float32)
    assert shared.mixture.read(2000, out, 1)
    time_s = np.arange(2000, 10000) / 44100 - control.delay_s
    np.testing.assert_allclose(out, np.tile(0.5 * np.sin(2 * np.pi * 997 * time_s), (2, 1)), atol=2e-3)


@pytest.mark.parametrize("block", [1, 64, 441, 1000])
def test_a_duplex_block_is_heard_the_asked_distance_behind_itself(block: int) -> None:
    shared = make_deck()
    output = CallbackControl(shared)
    control = CaptureControl(shared, 1, output=output)
    shared.transport.playing = True
    shared.transport.bypass = True
    rng = np.random.default_rng(block)
    distance = block + 64 + 37
    heard, played = [], []
    for index in range(6000 // block):
        if index == 2000 // block:
            shared.transport.post_behind(distance, 1, 0)
        sound = rng.uniform(-0.5, 0.5, (block, 1)).astype(np.float32)
        played.append(sound[:, 0])
        heard.append(call(duplex_callback, control.fields, sound, 20.0 + index, 21.0 + index)[:, 0])
    head = shared.callback.read()
    assert head.distance == distance
    assert (head.kind, head.starved_samples, head.late_blocks) == (Kind.BYPASS, 0, 0)
    took, gave = np.concatenate(played), np.concatenate(heard)
    begin = (2000 // block) * block + 64  # 64 samples fade in
    delay = distance - block
    np.testing.assert_array_equal(gave[begin:], took[begin - delay : len(took) - delay])
    taken, put = last_stamp(control.clock), last_stamp(output.clock)
    assert taken is not None
    assert put is not None
    # From converter to converter: a second by the time stamps, and what the ring adds to a block that is passed on.
    position = put[0] + head.position - head.frames
    assert put[1] - taken[1] - (position - taken[0]) / 44100 == pytest.approx(1.0 + delay / 44100, abs=1e-6)


def test_what_stems_lacked_lately_is_told_until_a_jump() -> None:
    shared = make_deck()
    control = CaptureControl(shared, 2, output=CallbackControl(shared))
    shared.transport.playing = True
    silence = np.zeros((512, 2), np.float32)
    for _ in range(10):
        call(duplex_callback, control.fields, silence, 1.0, 1.0)
    shared.stem.restart(1, 0, 0)
    shared.stem.write(np.zeros((4, 3 * 512), np.float32))
    shared.transport.post_behind(3 * 512 + 100, 1, 0)
    call(duplex_callback, control.fields, silence, 1.0, 1.0)
    position = 11 * 512 - (3 * 512 + 100)
    assert shared.callback.read().shortfall == position + 512 + 64 - 3 * 512
    shared.stem.write(np.zeros((4, 8 * 512), np.float32))
    call(duplex_callback, control.fields, silence, 1.0, 1.0)
    assert shared.callback.read().kind == Kind.WET
    assert shared.callback.read().shortfall == position + 512 + 64 - 3 * 512
    # Late again, by less: each passage is told for itself.
    for _ in range(5):
        call(duplex_callback, control.fields, silence, 1.0, 1.0)
    assert shared.callback.read().kind == Kind.DRY
    assert shared.callback.read().shortfall == shared.callback.read().position + 64 - 11 * 512
    shared.stem.write(np.zeros((4, 8 * 512), np.float32))
    shared.transport.post_behind(3 * 512 + 100, 1, 0)
    call(duplex_callback, control.fields, silence, 1.0, 1.0)
    assert shared.callback.read().shortfall == 0
