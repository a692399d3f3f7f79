"""The audio callback, compiled to machine code: it copies, mixes and counts, and does nothing else.

It takes no lock and no GIL, allocates nothing and can't raise; a test searches the compiled code for all of
these. It owns the play position: nothing else moves it.

How a block of n frames is made. The signal is computed for n + 64 samples: the first n go out, the next 64 are
kept as the tail: what would have played next. Every discontinuity (a jump, wet to dry and back,
pause, bypass, starvation) is then a cross-fade over 64 samples from that tail to the new signal, running on
across block borders; a fade never needs ring data that may be gone. From EOF on the signal is zero.

A signal is one stereo pair for each outlet, see `rtsep.audio.callback.routing`: stems go to the pair of their outlet,
the mixture to the first, the main one. Whatever is faded is faded on all of them.

What plays, the first that applies: nothing while paused; the practice ring, while that is on; the mixture in bypass;
the stems with their gains when they are there; silence, without moving, while the patience given with a jump lasts and
nothing has played since; the dry mixture at the same position, at the loudest stem's gain; else silence, without
moving.
"""

import ctypes

import numpy as np
from numba import types

from rtsep.audio.callback import practice
from rtsep.audio.callback.output_stage import samples_to_mix, write_output
from rtsep.shared import status as at
from rtsep.shared.atomics import address_from_pointer, fence, float32_at, int64_at, load_f32, load_i64, store_i64
from rtsep.shared.compiled import FLOAT32_LINE, FLOAT32_ROWS, INT64_LINE, c_callback, kernel
from rtsep.shared.rings import END, EPOCH, HEADER_FIELDS, copy_if_valid, eof_of
from rtsep.shared.seek_mailbox import REQUEST_FIELDS, collect
from rtsep.shared.status import CALLBACK_FIELDS, LINE_BYTES, LINE_FIELDS, MAX_STEMS, Kind
from rtsep.shared.stream_clock import CLOCK_FIELDS, OUTPUT, stamp, time_of
from rtsep.timebase import FADE, SAMPLE_RATE

RATE = float(SAMPLE_RATE)
RAMP = 256  # samples, at least, over which a gain moves
LARGEST_PART = 8192  # longer blocks are made in parts
NEED = LARGEST_PART + FADE

SILENT, WET, DRY, BYPASS, WAITING = (int(kind) for kind in Kind)
PRACTISED = WAITING + 1  # as LAST_KIND: the practice ring, which has made its own fades between kinds

# The control block: one int64 each, addresses and sizes. Its own address is the callback's user data.
MIXTURE_HEADER, MIXTURE_DATA, MIXTURE_CAPACITY, STEM_HEADER, STEM_DATA, STEM_CAPACITY, STEMS = range(7)
TRANSPORT, GAINS, CALLBACK, STATE, LEVELS, SCRATCH, OUT_CHANNELS = range(7, 14)
CORRECTOR, LARGEST_OUTPUT, CLOCK = range(14, 17)  # CORRECTOR: 0 when the device runs at the engine's rate
DISABLED = 17  # 1: output silence and stop
PAIRS = 18  # of mixed channels, one for each outlet; 1 to MAX_STEMS + 1
PAIR_OF_STEM, OUTLETS, MIXED, RESAMPLED, FADES = range(19, 24)
PRACTICE_HEADER, PRACTICE_DATA, PRACTICE_PLACES, PRACTICE_CAPACITY = range(24, 28)
CONTROL_FIELDS = 28

# PAIR_OF_STEM, int64 (MAX_STEMS,). OUTLETS, int64 (2 PAIRS,): left and right channel of each pair's outlet.
# MIXED, float32 (2 PAIRS, NEED): the mixed signal. RESAMPLED, as large: the same at the device's rate.
# FADES, float32 (4 PAIRS, FADE): the tail, then what is faded from.

# STATE, int64: what is remembered from block to block.
SEEN = 0  # sequence number of the last request handled
FADED = 1  # samples of the current cross-fade already done
LAST_KIND = 2
PATIENCE = 3  # samples left to wait for stems
HEARD = 4  # 1 when something was played since the jump
RAMP_LENGTH = 5  # samples of the current move of the gains,
RAMP_DONE = 6  # and how many of them are over
RUNNING = 7  # 0 before the first block
REQUEST = 8  # REQUEST_FIELDS of them
PRACTICE_STATE = 12  # practice.STATE_FIELDS of them
STATE_FIELDS = 16

# LEVELS, float32 (LEVEL_ROWS, MAX_STEMS + 1): of every stem, then of the master.
GAIN_NOW, GAIN_FROM, GAIN_STEP, GAIN_TARGET, LEVEL_ROWS = range(5)

# SCRATCH, float32 (SCRATCH_ROWS, NEED): a gain curve for each stem and the master, ring rows.
CURVES = 0
RING = CURVES + MAX_STEMS + 1
SCRATCH_ROWS = RING + 2 * MAX_STEMS


@kernel(types.void(FLOAT32_LINE, types.int64, INT64_LINE, FLOAT32_ROWS, FLOAT32_ROWS, types.int64))
def _gain_curves(gains, stems, state, levels, scratch, n):
    """Write the gain of every stem, then the master's, for n + FADE samples; ramps continue across blocks."""
    changed = False
    for g in range(stems + 1):
        target = load_f32(gains, g if g < stems else at.MASTER)
        if not target >= 0:  # a negative gain or NaN is silence
            target = np.float32(0.0)
        if target != levels[GAIN_TARGET, g]:
            levels[GAIN_TARGET, g] = target
            changed = True
    if state[RUNNING] == 0:
        state[RUNNING] = 1
    elif changed:
        state[RAMP_LENGTH] = max(n, RAMP)
        state[RAMP_DONE] = 0
        for g in range(stems + 1):
            distance = levels[GAIN_TARGET, g] - levels[GAIN_NOW, g]
            levels[GAIN_FROM, g] = levels[GAIN_NOW, g]
            levels[GAIN_STEP, g] = distance / np.float32(state[RAMP_LENGTH])
    # Every sample is counted from the start of the ramp, so the curve does not depend on how blocks cut it.
    done = state[RAMP_DONE]
    ramped = min(max(state[RAMP_LENGTH] - done - 1, 0), n + FADE)
    for g in range(stems + 1):
        start, step, target = levels[GAIN_FROM, g], levels[GAIN_STEP, g], levels[GAIN_TARGET, g]
        for i in range(ramped):
            scratch[CURVES + g, i] = start + step * np.float32(done + i + 1)
        for i in range(ramped, n + FADE):
            scratch[CURVES + g, i] = target
        levels[GAIN_NOW, g] = scratch[CURVES + g, n - 1]
    state[RAMP_DONE] = min(done + n, state[RAMP_LENGTH])


@kernel(types.void(FLOAT32_ROWS, FLOAT32_ROWS, FLOAT32_ROWS, INT64_LINE, *[types.int64] * 4))
def _mix(ring, scratch, mixed, pair_of_stem, stems, kind, there, need):
    """Write the signal of `kind` to `mixed`: `there` samples from the ring rows, then zeros up to `need`."""
    for row in range(mixed.shape[0]):
        for i in range(need):
            mixed[row, i] = np.float32(0.0)
    if kind == WET:
        for s in range(stems):
            for c in range(2):
                row = 2 * pair_of_stem[s] + c
                for i in range(there):
                    mixed[row, i] += scratch[CURVES + s, i] * ring[2 * s + c, i]
    elif kind == DRY:
        for s in range(1, stems):  # the largest gain, collected in the first curve
            for i in range(there):
                scratch[CURVES, i] = max(scratch[CURVES, i], scratch[CURVES + s, i])
        for c in range(2):
            for i in range(there):
                mixed[c, i] = scratch[CURVES, i] * ring[c, i]
    elif kind == BYPASS:
        for c in range(2):
            for i in range(there):
                mixed[c, i] = ring[c, i]
    for row in range(mixed.shape[0]):
        for i in range(there):
            mixed[row, i] *= scratch[CURVES + stems, i]


@kernel(types.void(INT64_LINE, FLOAT32_ROWS, FLOAT32_ROWS, types.int64, types.boolean))
def _cross_fade(state, fades, mixed, n, discontinuity):
    """Fade `mixed` in from the tail at a discontinuity, continue a fade under way, keep the new tail."""
    rows = mixed.shape[0]
    if discontinuity:
        state[FADED] = 0
        for row in range(rows):
            for i in range(FADE):
                fades[rows + row, i] = fades[row, i]
    faded = state[FADED]
    for row in range(rows):
        for i in range(FADE - faded):
            weight = np.float32(faded + i + 1) * np.float32(1.0 / (FADE + 1))
            old = fades[rows + row, faded + i]
            mixed[row, i] = old + (mixed[row, i] - old) * weight
        for i in range(FADE):
            fades[row, i] = mixed[row, n + i]
    state[FADED] = min(faded + n, FADE)


@kernel(types.void(INT64_LINE, types.int64))
def mix_part(control, n):
    """Make the MIXED rows of the next n samples and advance the play position."""
    stems = control[STEMS]
    mixture_header = int64_at(control[MIXTURE_HEADER], HEADER_FIELDS)
    mixture = float32_at(control[MIXTURE_DATA], 2, control[MIXTURE_CAPACITY])
    stem_header = int64_at(control[STEM_HEADER], HEADER_FIELDS)
    stem = float32_at(control[STEM_DATA], 2 * stems, control[STEM_CAPACITY])
    transport = int64_at(control[TRANSPORT], LINE_FIELDS)
    gains = float32_at(control[GAINS], 1, LINE_BYTES // 4)[0]
    fields = int64_at(control[CALLBACK], CALLBACK_FIELDS)
    state = int64_at(control[STATE], STATE_FIELDS)
    request = int64_at(control[STATE] + 8 * REQUEST, REQUEST_FIELDS)
    levels = float32_at(control[LEVELS], LEVEL_ROWS, MAX_STEMS + 1)
    scratch = float32_at(control[SCRATCH], SCRATCH_ROWS, NEED)
    ring = float32_at(control[SCRATCH] + 4 * RING * NEED, 2 * MAX_STEMS, NEED)
    pair_of_stem = int64_at(control[PAIR_OF_STEM], MAX_STEMS)
    mixed = float32_at(control[MIXED], 2 * control[PAIRS], NEED)
    fades = float32_at(control[FADES], 4 * control[PAIRS], FADE)
    practice_state = int64_at(control[STATE] + 8 * PRACTICE_STATE, practice.STATE_FIELDS)
    practice_header = int64_at(control[PRACTICE_HEADER], HEADER_FIELDS)
    practice_data = float32_at(control[PRACTICE_DATA], 2, control[PRACTICE_CAPACITY])
    places = int64_at(control[PRACTICE_PLACES], control[PRACTICE_CAPACITY])

    epoch, position = fields[at.CALLBACK_EPOCH], fields[at.POSITION]  # our own fields: nobody else writes them
    sequence = collect(transport, state[SEEN], request)
    jumped = sequence != state[SEEN]
    if jumped:
        state[SEEN] = sequence
        epoch, position, state[PATIENCE] = request[0], request[1], request[2]
        if request[3] != 0:
            position = load_i64(mixture_header, END) - request[1]
        state[HEARD] = 0
    distance = load_i64(mixture_header, END) - position
    shortfall = 0 if jumped else fields[at.SHORTFALL]
    _gain_curves(gains, stems, state, levels, scratch, n)

    # With several outlets there is no practice: its ring has one pair.
    wanted = load_i64(transport, at.PRACTICE) != 0 and control[PAIRS] == 1
    practising = practice.follow(practice_state, practice_header, places, wanted, jumped, state[SEEN], position, n)

    eof = eof_of(mixture_header, epoch)
    there = min(n + FADE, max(eof - position, 0))
    starved = 0
    kind = SILENT
    signal = SILENT
    if load_i64(transport, at.PLAYING) != 0 and epoch >= 0 and there > 0:
        patient = state[HEARD] == 0 and state[PATIENCE] > 0
        if practising:
            place = practice.take(practice_state, practice_header, practice_data, places, ring, n)
            if place >= 0:
                kind = place & ((1 << at.PLACE_SHIFT) - 1)
                signal = PRACTISED
                there = n + FADE
        elif load_i64(transport, at.BYPASS) != 0:
            if copy_if_valid(mixture_header, mixture, position, ring, there, epoch):
                kind = BYPASS
        elif copy_if_valid(stem_header, stem, position, ring, there, epoch):
            kind = WET
        elif not patient and copy_if_valid(mixture_header, mixture, position, ring, there, epoch):
            kind = DRY
            if state[LAST_KIND] != DRY:
                shortfall = 0
            if load_i64(stem_header, EPOCH) == epoch:
                shortfall = max(shortfall, position + there - load_i64(stem_header, END))
        if kind == SILENT and signal == SILENT:
            if patient:
                kind = WAITING
                state[PATIENCE] -= n
            else:
                starved = n

    if signal == PRACTISED:
        _mix(ring, scratch, mixed, pair_of_stem, stems, BYPASS, there, n + FADE)
    else:
        _mix(ring, scratch, mixed, pair_of_stem, stems, kind, there, n + FADE)
        signal = kind
    _cross_fade(state, fades, mixed, n, jumped or signal != state[LAST_KIND])
    state[LAST_KIND] = signal

    played = 0
    if kind == WET or kind == DRY or kind == BYPASS:
        state[HEARD] = 1
        played = min(n, there)
        if signal != PRACTISED:
            position += played
    if signal == PRACTISED:
        position = places[practice_state[practice.AT] & (control[PRACTICE_CAPACITY] - 1)] >> at.PLACE_SHIFT
    ended = epoch >= 0 and position >= eof
    if ended:
        position = eof  # also after a jump beyond it

    # One seqlock around the whole line, so that nobody pairs the new epoch with the old position.
    sequence = fields[at.SEQUENCE]
    store_i64(fields, at.SEQUENCE, sequence + 1)
    fence()
    store_i64(fields, at.POSITION, position)
    store_i64(fields, at.CALLBACK_EPOCH, epoch)
    store_i64(fields, at.ACK, state[SEEN])
    store_i64(fields, at.KIND, kind)
    store_i64(fields, at.ENDED, 1 if ended else 0)
    store_i64(fields, at.BLOCKS, fields[at.BLOCKS] + 1)
    store_i64(fields, at.FRAMES, fields[at.FRAMES] + n)
    if kind == DRY:
        store_i64(fields, at.LATE_BLOCKS, fields[at.LATE_BLOCKS] + 1)
        store_i64(fields, at.DRY_SAMPLES, fields[at.DRY_SAMPLES] + played)
    if kind == WET:
        store_i64(fields, at.WET_SAMPLES, fields[at.WET_SAMPLES] + played)
    if kind == BYPASS:
        store_i64(fields, at.BYPASS_SAMPLES, fields[at.BYPASS_SAMPLES] + played)
    store_i64(fields, at.STARVED_SAMPLES, fields[at.STARVED_SAMPLES] + starved)
    store_i64(fields, at.MAX_BLOCK, max(fields[at.MAX_BLOCK], n))
    store_i64(fields, at.DISTANCE, distance)
    store_i64(fields, at.SHORTFALL, shortfall)
    store_i64(fields, at.PRACTISING, practice_state[practice.ON])
    store_i64(fields, at.PRACTICE_AT, practice_state[practice.AT] if practice_state[practice.RING_EPOCH] >= 0 else 0)
    store_i64(fields, at.SEQUENCE, sequence + 2)


@kernel(types.void(INT64_LINE, FLOAT32_ROWS, types.int64))
def mix_block(control, output, frames):
    """Make one block: fill `output` float32 (frames, channels). `control`: see `CallbackControl`."""
    fields = int64_at(control[CALLBACK], CALLBACK_FIELDS)
    mixed = float32_at(control[MIXED], 2 * control[PAIRS], NEED)
    resampled = float32_at(control[RESAMPLED], 2 * control[PAIRS], NEED)
    outlets = int64_at(control[OUTLETS], 2 * control[PAIRS])
    corrector = control[CORRECTOR]
    done = 0
    while done < frames:
        n = min(frames - done, control[LARGEST_OUTPUT])
        count = samples_to_mix(corrector, n)
        if count > 0:
            mix_part(control, count)
        clipped = write_output(corrector, mixed, count, resampled, outlets, output, done, n)
        store_i64(fields, at.CLIPPED_SAMPLES, fields[at.CLIPPED_SAMPLES] + clipped)
        done += n


_ULONG = types.uint64 if ctypes.sizeof(ctypes.c_ulong) == 8 else types.uint32
PA_STREAM_CALLBACK = types.int32(types.voidptr, types.voidptr, _ULONG, types.voidptr, _ULONG, types.voidptr)


@kernel(types.void(INT64_LINE, types.int64, types.int64, types.int64))
def play_block(control, output, frames, time_info):
    """The output side of one call: stamp the clock, fill `output`, the address of interleaved float32."""
    if time_info != 0:
        requested = int64_at(control[CALLBACK], CALLBACK_FIELDS)[at.FRAMES]
        stamp(int64_at(control[CLOCK], CLOCK_FIELDS), requested, time_of(time_info, OUTPUT), RATE)
    mix_block(control, float32_at(output, frames, control[OUT_CHANNELS]), frames)


@kernel(types.boolean(INT64_LINE, types.int64, types.int64))
def disabled(control, output, frames):
    """Return whether this callback was disabled; if so, `output` is filled with silence."""
    if load_i64(control, DISABLED) == 0:
        return False
    block = float32_at(output, frames, control[OUT_CHANNELS])
    for i in range(frames):
        for c in range(control[OUT_CHANNELS]):
            block[i, c] = np.float32(0.0)
    return True


def _stream_callback(_input, output, frames, time_info, _status_flags, user_data):
    """PaStreamCallback: fill `output` for `frames` frames of interleaved float32; return paContinue unless disabled."""
    control = int64_at(address_from_pointer(user_data), CONTROL_FIELDS)
    if disabled(control, address_from_pointer(output), np.int64(frames)):
        return 2  # paAbort
    play_block(control, address_from_pointer(output), np.int64(frames), address_from_pointer(time_info))
    return 0


stream_callback = c_callback(PA_STREAM_CALLBACK)(_stream_callback)
