"""The owner of all memory that the compiled audio callback sees."""

import numpy as np

from rtsep.audio.callback import playback as at
from rtsep.audio.callback.routing import MAIN, NO_ROUTES, Outlet, Routes, channels_needed
from rtsep.dsp.corrector import Corrector
from rtsep.shared.atomics import store_i64
from rtsep.shared.state import SharedState
from rtsep.shared.status import MAX_STEMS
from rtsep.shared.stream_clock import new_clock
from rtsep.timebase import FADE, SAMPLE_RATE


class CallbackControl:
    """Everything the compiled callback can see, kept alive in one object.

    A new one for the same shared state goes on where the last one stood and does not obey a letter twice.

    Args:
        shared: what to play.
        out_channels: of the device; further ones than are sent to are silent.
        samplerate: of the device, in Hz.
        routes: stems that go elsewhere than to the main mix. That is on the first two channels, or on the only one.

    Attributes:
        words: int64, the control block; its address is the callback's user data.
        clock: where `frames` of the shared state's callback words stands in time (see `rtsep.shared.stream_clock`).
        delay_s: seconds by which the output stage delays.
    """

    def __init__(
        self, shared: SharedState, out_channels: int = 2, samplerate: int = SAMPLE_RATE, routes: Routes = NO_ROUTES
    ) -> None:
        if out_channels < 1 or (routes and out_channels < channels_needed(routes)):
            raise ValueError(f"an output has a channel at least, and all those that are sent to, got {out_channels}")
        if not {*routes} <= {*shared.layout.stems}:
            raise ValueError(f"expected routes for some of {shared.layout.stems}, got {routes}")
        self.shared = shared
        main = MAIN if out_channels > 1 else Outlet(0, 0)
        outlets = [*dict.fromkeys((main, *routes.values()))]
        rows = 2 * len(outlets)
        self._outlets = np.array(outlets, np.int64)
        self._pair_of_stem = np.zeros(MAX_STEMS, np.int64)
        for stem, outlet in routes.items():
            self._pair_of_stem[shared.layout.stems.index(stem)] = outlets.index(outlet)
        self._state = np.zeros(at.STATE_FIELDS, np.int64)
        # np.zeros only promises pages; the callback must not be the first to touch them.
        self._levels = np.full((at.LEVEL_ROWS, MAX_STEMS + 1), 0.0, np.float32)
        self._scratch = np.full((at.SCRATCH_ROWS, at.NEED), 0.0, np.float32)
        self._mixed = np.full((rows, at.NEED), 0.0, np.float32)
        self._resampled = np.full((rows, at.NEED), 0.0, np.float32)
        self._fades = np.full((2 * rows, FADE), 0.0, np.float32)
        plain = samplerate == SAMPLE_RATE
        self._corrector = None if plain else Corrector(SAMPLE_RATE, samplerate, pairs=len(outlets))
        self.clock = new_clock()
        self.delay_s = 0.0 if self._corrector is None else self._corrector.delay_s
        self._state[at.SEEN] = shared.callback.ack
        self._state[at.FADED] = FADE
        self.fields = np.array(
            [
                shared.mixture.fields.ctypes.data,
                shared.mixture.data.ctypes.data,
                shared.mixture.capacity,
                shared.stem.fields.ctypes.data,
                shared.stem.data.ctypes.data,
                shared.stem.capacity,
                len(shared.layout.stems),
                shared.transport.fields.ctypes.data,
                shared.transport.gains.ctypes.data,
                shared.callback.fields.ctypes.data,
                self._state.ctypes.data,
                self._levels.ctypes.data,
                self._scratch.ctypes.data,
                out_channels,
                0 if self._corrector is None else self._corrector.control.ctypes.data,
                min(at.LARGEST_PART, (at.LARGEST_PART - 1) * samplerate // SAMPLE_RATE),
                self.clock.ctypes.data,
                0,
                len(outlets),
                self._pair_of_stem.ctypes.data,
                self._outlets.ctypes.data,
                self._mixed.ctypes.data,
                self._resampled.ctypes.data,
                self._fades.ctypes.data,
            ],
            np.int64,
        )

    def retire(self) -> None:
        """From the next block on give silence and move nothing: there may be another callback on the shared state by
        then."""
        store_i64(self.fields, at.RETIRED, 1)
