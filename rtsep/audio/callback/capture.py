"""The capture callback, compiled to machine code: the live writer of the mixture ring.

Like the output callback it takes no lock and no GIL, allocates nothing and can't raise. Playback never holds it back:
the ring overwrites its oldest samples.

    interleaved input -> fold to two channels -> (corrector of rate and clock) -> mixture ring

Mono goes to both sides; of more than two channels the first two are used. Position 0 is the first sample after
opening. In one stream with the output, the same callback first captures and then mixes.
"""

import numpy as np
from numba import types
from numpy.typing import NDArray

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import CONTROL_FIELDS as OUTPUT_FIELDS
from rtsep.audio.callback.playback import PA_STREAM_CALLBACK, disabled, play_block
from rtsep.dsp.corrector import CORRECTOR_FIELDS, Corrector, correct, steer
from rtsep.shared.atomics import address_from_pointer, float32_at, int64_at, load_i64, store_i64
from rtsep.shared.compiled import FLOAT32_ROWS, INT64_LINE, c_callback, kernel
from rtsep.shared.rings import END, HEADER_FIELDS, append
from rtsep.shared.state import SharedState
from rtsep.shared.stream_clock import CLOCK_FIELDS, INPUT, new_clock, position_at, stamp, time_of
from rtsep.timebase import SAMPLE_RATE

RATE = float(SAMPLE_RATE)
LARGEST_PART = 4096  # longer blocks are handled in parts
INPUT_OVERFLOW = 2  # PortAudio's flag: samples were lost before this block

# The control block: one int64 each, addresses and sizes. Its own address is the callback's user data.
MIXTURE_HEADER, MIXTURE_DATA, MIXTURE_CAPACITY, COUNTERS, FOLDED, CORRECTED, ROOM, IN_CHANNELS = range(8)
OUTPUT = 8  # the output's control block, in a stream that does both
CORRECTOR = 9  # 0 when the device runs at the engine's rate and on the output's clock
CLOCK, MASTER = 10, 11  # MASTER: clock of the output that capture follows, or 0
NS_A_FRAME_Q16, DELAY_NS = 12, 13  # of the device, with 16 fractional bits; of the corrector
DISABLED = 14  # 1: capture nothing and stop
CONTROL_FIELDS = 15

# COUNTERS, int64, written by the callback alone.
BLOCKS, FRAMES, OVERFLOWS, MAX_BLOCK, BAD_SAMPLES = range(5)
COUNTER_FIELDS = 8


@kernel(types.int64(FLOAT32_ROWS, types.int64, types.int64, FLOAT32_ROWS))
def _fold(source, offset, n, out):
    """Write n frames of `source` (frames, channels) to `out` (2, n); return how many samples weren't finite."""
    right = min(1, source.shape[1] - 1)
    bad = 0
    for i in range(n):
        for c in range(2):
            value = source[offset + i, c * right]
            if not abs(value) < np.float32(np.inf):
                value = np.float32(0.0)
                bad += 1
            out[c, i] = value
    return bad


@kernel(types.void(INT64_LINE, FLOAT32_ROWS, types.int64))
def capture_block(control, source, frames):
    """Capture one block: append `source` float32 (frames, channels) to the ring. `control`: see `CaptureControl`."""
    header = int64_at(control[MIXTURE_HEADER], HEADER_FIELDS)
    data = float32_at(control[MIXTURE_DATA], 2, control[MIXTURE_CAPACITY])
    counters = int64_at(control[COUNTERS], COUNTER_FIELDS)
    corrected = float32_at(control[CORRECTED], 2, control[ROOM])
    before = load_i64(header, END)
    done = 0
    bad = 0
    while done < frames:
        n = min(frames - done, LARGEST_PART)
        folded = float32_at(control[FOLDED], 2, n)
        bad += _fold(source, done, n, folded)
        if control[CORRECTOR] == 0:
            append(header, data, folded)
        else:
            made = correct(int64_at(control[CORRECTOR], CORRECTOR_FIELDS), folded, corrected)
            append(header, data, corrected[:, :made])
        done += n
    made = load_i64(header, END) - before
    store_i64(counters, BLOCKS, counters[BLOCKS] + 1)
    store_i64(counters, FRAMES, counters[FRAMES] + frames)
    store_i64(counters, MAX_BLOCK, max(counters[MAX_BLOCK], made))
    store_i64(counters, BAD_SAMPLES, counters[BAD_SAMPLES] + bad)


@kernel(types.void(INT64_LINE, types.int64, types.int64))
def _keep_time(control, time_info, frames):
    """Stamp the ring's end after a block of `frames`, and steer the corrector by the output's clock if there is one."""
    # The end is the first sample after the block; the corrector's output is older by its delay.
    now_ns = time_of(time_info, INPUT) + (frames * control[NS_A_FRAME_Q16] >> 16) - control[DELAY_NS]
    clock = int64_at(control[CLOCK], CLOCK_FIELDS)
    stamp(clock, load_i64(int64_at(control[MIXTURE_HEADER], HEADER_FIELDS), END), now_ns, RATE)
    if control[CORRECTOR] != 0 and control[MASTER] != 0:
        ahead = position_at(clock, now_ns, RATE) - position_at(int64_at(control[MASTER], CLOCK_FIELDS), now_ns, RATE)
        steer(int64_at(control[CORRECTOR], CORRECTOR_FIELDS), ahead, frames)


@kernel(types.void(INT64_LINE, types.int64, types.int64, types.int64, types.int64))
def _capture(control, source, frames, time_info, flags):
    """The capture side of one call; `source`: address of interleaved float32, or 0."""
    if source == 0:  # PortAudio may call without input when it has lost some
        return
    capture_block(control, float32_at(source, frames, control[IN_CHANNELS]), frames)
    counters = int64_at(control[COUNTERS], COUNTER_FIELDS)
    if flags & INPUT_OVERFLOW:
        store_i64(counters, OVERFLOWS, counters[OVERFLOWS] + 1)
    if time_info != 0:
        _keep_time(control, time_info, frames)


def _capture_callback(source, _output, frames, time_info, flags, user_data):
    """PaStreamCallback of a stream that only captures."""
    control = int64_at(address_from_pointer(user_data), CONTROL_FIELDS)
    if load_i64(control, DISABLED) != 0:
        return 2  # paAbort
    times = address_from_pointer(time_info)
    _capture(control, address_from_pointer(source), np.int64(frames), times, np.int64(flags))
    return 0


def _duplex_callback(source, output, frames, time_info, flags, user_data):
    """PaStreamCallback of a stream that captures and plays: the captured block is in the ring before it mixes."""
    control = int64_at(address_from_pointer(user_data), CONTROL_FIELDS)
    times = address_from_pointer(time_info)
    playing = int64_at(control[OUTPUT], OUTPUT_FIELDS)
    if disabled(playing, address_from_pointer(output), np.int64(frames)):
        return 2  # paAbort
    _capture(control, address_from_pointer(source), np.int64(frames), times, np.int64(flags))
    play_block(playing, address_from_pointer(output), np.int64(frames), times)
    return 0


capture_callback = c_callback(PA_STREAM_CALLBACK)(_capture_callback)
duplex_callback = c_callback(PA_STREAM_CALLBACK)(_duplex_callback)


class CaptureControl:
    """Owns all memory that the compiled capture uses.

    Args:
        shared: whose mixture ring is written, from its end on.
        in_channels: of the stream.
        samplerate: of the stream, in Hz.
        output: the output's control, for a stream that also plays.
        master: clock of an output on another device, which the capture follows.

    Attributes:
        fields: int64, the control block; its address is the callback's user data.
        clock: the time at which the mixture ring ends (see `rtsep.shared.stream_clock`).
        delay_s: delay of the corrector, in seconds.
    """

    def __init__(
        self,
        shared: SharedState,
        in_channels: int,
        samplerate: int = SAMPLE_RATE,
        output: CallbackControl | None = None,
        master: NDArray[np.int64] | None = None,
    ) -> None:
        if in_channels < 1:
            raise ValueError(f"expected an input of at least one channel, got {in_channels}")
        self.shared = shared
        self.output = output
        self.clock = new_clock()
        self._master = master
        plain = samplerate == SAMPLE_RATE and master is None
        self._corrector = None if plain else Corrector(samplerate, SAMPLE_RATE)
        self.delay_s = 0.0 if self._corrector is None else self._corrector.delay_s
        self._counters = np.zeros(COUNTER_FIELDS, np.int64)
        # Ones, not zeros: the callback must not be the first to touch a page.
        self._folded = np.ones((2, LARGEST_PART), np.float32)
        room = 1 if self._corrector is None else self._corrector.max_output(LARGEST_PART)
        self._corrected = np.ones((2, room), np.float32)
        self.fields = np.array(
            [
                shared.mixture.fields.ctypes.data,
                shared.mixture.data.ctypes.data,
                shared.mixture.capacity,
                self._counters.ctypes.data,
                self._folded.ctypes.data,
                self._corrected.ctypes.data,
                room,
                in_channels,
                0 if output is None else output.fields.ctypes.data,
                0 if self._corrector is None else self._corrector.control.ctypes.data,
                self.clock.ctypes.data,
                0 if master is None else master.ctypes.data,
                round(1e9 * 65536 / samplerate),
                round(1e9 * self.delay_s),
                0,
            ],
            np.int64,
        )

    def disable(self) -> None:
        """Stop at the next call, of the output too: by then another callback may use the shared state."""
        store_i64(self.fields, DISABLED, 1)
        if self.output is not None:
            self.output.disable()

    def reset_target(self) -> None:
        """Hold the present distance to the output's clock from now on."""
        if self._corrector is not None:
            self._corrector.reset_target()

    @property
    def correction_ppm(self) -> float:
        """Estimated deviation of the input's clock, in ppm (positive: fast); 0 without a corrector."""
        return 0.0 if self._corrector is None else self._corrector.correction_ppm

    @property
    def frames(self) -> int:
        """Heartbeat: frames captured so far."""
        return load_i64(self._counters, FRAMES)

    @property
    def max_block(self) -> int:
        """The longest block so far, in samples of the ring."""
        return load_i64(self._counters, MAX_BLOCK)

    @property
    def overflows(self) -> int:
        """How often the device reported lost samples before a block."""
        return load_i64(self._counters, OVERFLOWS)

    @property
    def bad_samples(self) -> int:
        """Samples that weren't finite and were replaced by silence."""
        return load_i64(self._counters, BAD_SAMPLES)
