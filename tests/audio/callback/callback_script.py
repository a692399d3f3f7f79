"""Scripts that make the world of the callback change from block to block, and what plays them."""

import numpy as np
from numba import njit

from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import mix_block
from rtsep.shared.rings import BEGIN, END, EOF, EPOCH, NO_EOF
from rtsep.shared.seek_mailbox import post
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import BYPASS, MASTER, PLAYING
from tests.audio.callback.callback_reference import COLUMN, COLUMNS

CAPACITY = 2**16


def make_deck(stems: int = 2) -> SharedState:
    names = tuple(f"stem{i}" for i in range(stems))
    layout = SharedLayout(names, mixture_capacity=CAPACITY, stem_capacity=CAPACITY)
    shared = SharedState(layout, bytearray(layout.nbytes))
    shared.initialise()
    return shared


def fill(shared: SharedState, rng: np.random.Generator, level: float = 0.7) -> None:
    """Whatever position is asked for, there is a sample; the tests say by the headers which may be taken."""
    shared.mixture.data[:] = rng.uniform(-level, level, shared.mixture.data.shape)
    shared.stem.data[:] = rng.uniform(-level, level, shared.stem.data.shape)


def playing_deck(level: float = 0.1) -> tuple[SharedState, CallbackControl]:
    """Two stems of constant level and their mixture from position 0 to 30 000, playing, one jump posted."""
    shared = make_deck()
    for ring in (shared.mixture, shared.stem):
        ring.restart(1, 0, 0)
        ring.write(np.full((ring.rows, 30000), level if ring is shared.stem else 2 * level, np.float32))
    shared.transport.playing = True
    shared.transport.post(0, 1, 0)
    return shared, CallbackControl(shared)


def step(shared: SharedState, control: CallbackControl, n: int, channels: int = 2) -> np.ndarray:
    out = np.full((n, channels), np.nan, np.float32)
    mix_block(control.fields, out, n)
    return out.T


N, JUMP, TARGET, JUMP_EPOCH, PATIENCE, PLAY, PASS, GAIN_SET = (COLUMN[name] for name in COLUMNS[:8])
MIX_EPOCH, MIX_BEGIN, MIX_END, MIX_EOF, STEM_EPOCH, STEM_BEGIN, STEM_END = (COLUMN[name] for name in COLUMNS[8:])


@njit(nogil=True)
def _drive(control, script, gain_sets, mixture, stem, transport, gains, words, out, log):
    """Play the script: before every block make the world look as its row says, after it note the callback's words."""
    done = 0
    stems = gain_sets.shape[1] - 1
    for b in range(script.shape[0]):
        row = script[b]
        if row[JUMP]:
            post(transport, row[TARGET], row[JUMP_EPOCH], row[PATIENCE])
        transport[PLAYING] = row[PLAY]
        transport[BYPASS] = row[PASS]
        for g in range(stems):
            gains[g] = gain_sets[row[GAIN_SET], g]
        gains[MASTER] = gain_sets[row[GAIN_SET], stems]
        mixture[EPOCH] = row[MIX_EPOCH]
        mixture[BEGIN] = row[MIX_BEGIN]
        mixture[END] = row[MIX_END]
        mixture[EOF] = row[MIX_EOF]
        stem[EPOCH] = row[STEM_EPOCH]
        stem[BEGIN] = row[STEM_BEGIN]
        stem[END] = row[STEM_END]
        n = row[N]
        mix_block(control, out[done : done + n], n)
        done += n
        log[b, 0] = words[1]
        log[b, 1] = words[2]
        log[b, 2] = words[4]
        log[b, 3] = words[5]


def play(
    control: CallbackControl, script: np.ndarray, gain_sets: np.ndarray, channels: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Return the output (frames, channels) and, for every block, position, epoch, kind and ended after it."""
    shared = control.shared
    out = np.full((script[:, N].sum(), channels), np.nan, np.float32)
    log = np.zeros((len(script), 4), np.int64)
    _drive(
        control.fields, script, gain_sets, shared.mixture.fields, shared.stem.fields, shared.transport.fields,
        shared.transport.gains, shared.callback.fields, out, log,
    )  # fmt: skip
    return out, log


def hold(rng: np.random.Generator, blocks: int, chance: float, values: np.ndarray) -> np.ndarray:
    """A column that changes with `chance` from block to block; `values` (blocks,) are what it may change to."""
    change = rng.random(blocks) < chance
    change[0] = True
    return values[np.flatnonzero(change)[np.cumsum(change) - 1]]


def random_script(rng: np.random.Generator, blocks: int, gain_sets: int, first_epoch: int) -> np.ndarray:
    """Seeks, pauses, bypass, faders, stems and mixtures that are late, of another epoch, overtaken, at their end."""
    script = np.zeros((blocks, len(COLUMNS)), np.int64)
    large = np.exp(rng.uniform(0, np.log(8193), blocks)).astype(np.int64)
    script[:, N] = np.where(rng.random(blocks) < 0.005, np.minimum(large, 8192), rng.integers(1, 20, blocks))
    script[:, JUMP] = rng.random(blocks) < 0.01
    script[0, JUMP] = 1
    epoch = first_epoch + np.cumsum(script[:, JUMP])
    script[:, JUMP_EPOCH] = epoch
    script[:, TARGET] = rng.integers(-4000, 30000, blocks)
    script[:, PATIENCE] = rng.integers(0, 400, blocks) * (rng.random(blocks) < 0.5)
    script[:, PLAY] = hold(rng, blocks, 0.02, rng.random(blocks) < 0.8)
    script[:, PASS] = hold(rng, blocks, 0.01, rng.random(blocks) < 0.2)
    script[:, GAIN_SET] = hold(rng, blocks, 0.03, rng.integers(0, gain_sets, blocks))
    # Rings follow a seek some blocks late, and are now and then of an older epoch.
    lag = hold(rng, blocks, 0.02, rng.choice([0, 0, 0, 3, 40], blocks))
    script[:, MIX_EPOCH] = epoch[np.maximum(np.arange(blocks) - lag, 0)]
    lag = hold(rng, blocks, 0.02, rng.choice([0, 0, 0, 5, 60], blocks))
    script[:, STEM_EPOCH] = epoch[np.maximum(np.arange(blocks) - lag, 0)]
    script[:, MIX_BEGIN] = hold(rng, blocks, 0.01, rng.choice([-8192, -8192, -8192, 2000], blocks))
    script[:, MIX_END] = hold(rng, blocks, 0.02, rng.choice([56000, 56000, 20000, 1000], blocks))
    script[:, MIX_EOF] = hold(rng, blocks, 0.01, rng.choice([NO_EOF, 25000, 50000], blocks))
    script[:, STEM_BEGIN] = hold(rng, blocks, 0.01, rng.choice([-8192, -8192, 500], blocks))
    script[:, STEM_END] = hold(rng, blocks, 0.04, rng.integers(0, 56000, blocks))
    return script
