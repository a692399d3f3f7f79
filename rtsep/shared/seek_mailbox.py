"""The mailbox for jumps, from player to audio callback: it holds the newest request; no lock.

A seqlock: MAIL_SEQUENCE is odd while the request is being written. The callback never waits; if the request is
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
REQUEST_FIELDS = 4  # as `collect` copies it: epoch, target, patience, behind


@kernel(types.int64(INT64_LINE, types.int64, types.int64, types.int64, types.int64))
def _post(fields, target, epoch, patience, behind):
    sequence = fields[MAIL_SEQUENCE]
    store_i64(fields, MAIL_SEQUENCE, sequence + 1)
    fence()  # no part of the request may be visible before the odd number is
    store_i64(fields, MAIL_EPOCH, epoch)
    store_i64(fields, MAIL_TARGET, target)
    store_i64(fields, MAIL_PATIENCE, patience)
    store_i64(fields, MAIL_BEHIND, behind)
    store_i64(fields, MAIL_SEQUENCE, sequence + 2)
    return sequence + 2


@kernel(types.int64(INT64_LINE, types.int64, types.int64, types.int64))
def post(fields, target, epoch, patience):
    """Write a request and return its sequence number (even, never 0). One thread of one process only."""
    return _post(fields, target, epoch, patience, 0)


@kernel(types.int64(INT64_LINE, types.int64, types.int64, types.int64))
def post_behind(fields, distance, epoch, patience):
    """As `post`, for a jump to `distance` samples before the end that the mixture ring has when the callback jumps.

    The callback knows the end to the sample; the player is some milliseconds late.
    """
    return _post(fields, distance, epoch, patience, 1)


@kernel(types.int64(INT64_LINE, types.int64, INT64_LINE))
def collect(fields, seen, request):
    """Copy a request newer than `seen` to ``request[:4]`` = epoch, target, patience, behind.

    Returns its sequence number, or `seen` if there is none.
    """
    sequence = load_i64(fields, MAIL_SEQUENCE)
    if sequence == seen or sequence & 1:
        return seen
    epoch = load_i64(fields, MAIL_EPOCH)
    target = load_i64(fields, MAIL_TARGET)
    patience = load_i64(fields, MAIL_PATIENCE)
    behind = load_i64(fields, MAIL_BEHIND)
    fence()  # the second look must not be taken before the request was read
    if load_i64(fields, MAIL_SEQUENCE) != sequence:
        return seen
    request[0] = epoch
    request[1] = target
    request[2] = patience
    request[3] = behind
    return sequence
