"""The mailbox for jumps, from player to audio callback: one letter, the newest request; no lock.

A seqlock: MAIL_SEQUENCE is odd while the letter is being written. The callback never waits; if the letter is
unfinished or changes while it is read, the callback tries again in its next block, a few milliseconds later.
"""

from numba import types

from rtsep.shared.atomics import fence, load_i64, store_i64
from rtsep.shared.compiled import INT64_LINE, kernel

MAIL_SEQUENCE = 0
MAIL_EPOCH = 1
MAIL_TARGET = 2  # position to jump to
MAIL_PATIENCE = 3  # samples of silence to wait for stems after the jump
MAIL_BEHIND = 4  # 1: the target is a distance, in samples behind the end of the mixture ring when the callback jumps
LETTER_FIELDS = 4  # as `collect` copies it: epoch, target, patience, behind


@kernel(types.int64(INT64_LINE, types.int64, types.int64, types.int64, types.int64))
def _post(fields, target, epoch, patience, behind):
    sequence = fields[MAIL_SEQUENCE]
    store_i64(fields, MAIL_SEQUENCE, sequence + 1)
    fence()  # no part of the letter may be visible before the odd number is
    store_i64(fields, MAIL_EPOCH, epoch)
    store_i64(fields, MAIL_TARGET, target)
    store_i64(fields, MAIL_PATIENCE, patience)
    store_i64(fields, MAIL_BEHIND, behind)
    store_i64(fields, MAIL_SEQUENCE, sequence + 2)
    return sequence + 2


@kernel(types.int64(INT64_LINE, types.int64, types.int64, types.int64))
def post(fields, target, epoch, patience):
    """Write a letter and return its sequence number (even, never 0). One thread of one process only."""
    return _post(fields, target, epoch, patience, 0)


@kernel(types.int64(INT64_LINE, types.int64, types.int64, types.int64))
def post_behind(fields, distance, epoch, patience):
    """As `post`, for a jump to `distance` samples before the end that the mixture ring has when the callback jumps.

    The callback knows the end to the sample; the player is some milliseconds late.
    """
    return _post(fields, distance, epoch, patience, 1)


@kernel(types.int64(INT64_LINE, types.int64, INT64_LINE))
def collect(fields, seen, letter):
    """Copy a letter newer than `seen` to ``letter[:4]`` = epoch, target, patience, behind.

    Returns its sequence number, or `seen` if there is none.
    """
    sequence = load_i64(fields, MAIL_SEQUENCE)
    if sequence == seen or sequence & 1:
        return seen
    epoch = load_i64(fields, MAIL_EPOCH)
    target = load_i64(fields, MAIL_TARGET)
    patience = load_i64(fields, MAIL_PATIENCE)
    behind = load_i64(fields, MAIL_BEHIND)
    fence()  # the second look must not be taken before the letter was read
    if load_i64(fields, MAIL_SEQUENCE) != sequence:
        return seen
    letter[0] = epoch
    letter[1] = target
    letter[2] = patience
    letter[3] = behind
    return sequence
