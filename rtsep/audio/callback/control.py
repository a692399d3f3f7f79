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
    """Owns all memory that the compiled callback uses.

    A new one for the same shared state continues at the last position and makes no jump twice.

    Args:
        shared: what to play.
        out_channels: of the device; those that nothing is routed to are silent.
        samplerate: of the device, in Hz.
        routes: stems that don't go to the main mix, which is on the first two channels, or on the only one.

    Attributes:
        fields: int64, the control block; its address is the callback's user data.
        clock: the time at which `frames` of the callback's status plays (see `rtsep.shared.stream_clock`).
        delay_s: delay of the output stage, in seconds.
        mixed: float32 (2 outlets, n), what `mix_part` has made last.
    """

    def __init__(
        self, shared: SharedState, out_channels: int = 2, samplerate: int = SAMPLE_RATE, routes: Routes = NO_ROUTES
    ) -> None:
        if out_channels < 1 or (routes and out_channels < channels_needed(routes)):
            raise ValueError(f"expected an output with the channels of all routes, at least one, got {out_channels}")
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
        self.mixed = np.full((rows, at.NEED), 0.0, np.float32)
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
                self.mixed.ctypes.data,
                self._resampled.ctypes.data,
                self._fades.ctypes.data,
                shared.practice.fields.ctypes.data,
                shared.practice.data.ctypes.data,
                shared.practice_places.ctypes.data,
                shared.practice.capacity,
            ],
            np.int64,
        )

    def disable(self) -> None:
        """Output silence and change nothing from the next block on: another callback may use the shared state."""
        store_i64(self.fields, at.DISABLED, 1)
