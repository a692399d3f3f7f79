"""The mixer: faders, mutes, solo, bypass, volume and meters, for files and for live sound alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtsep.errors import UsageError
from rtsep.player.faders import MAX_GAIN_DB, MIN_GAIN_DB, Fader, db_to_linear
from rtsep.player.meters import measure
from rtsep.player.snapshot import PlayerSnapshot
from rtsep.player.stem_engine import StemEngine
from rtsep.shared.status import PlayHead
from rtsep.timebase import SAMPLE_RATE


class Mixer:
    """Faders, mutes, solos and volume of an engine's stems, which are counted from 0.

    Attributes:
        engine, shared: whose gains it sets.
        stems: names, in the order of the faders.
    """

    def __init__(self, engine: StemEngine) -> None:
        self.engine = engine
        self.shared = engine.shared
        self.stems = engine.stems
        self._faders = [Fader() for _ in self.stems]
        self._volume_db = 0.0
        self._muted_here: frozenset[int] = frozenset()

    @property
    def faders(self) -> tuple[Fader, ...]:
        """The faders as they stand, copied."""
        return tuple(Fader(fader.gain_db, fader.muted, fader.solo) for fader in self._faders)

    def stem_index(self, stem: str) -> int:
        """Index of a stem by its name; UsageError with the stems of the model if there is none."""
        if stem not in self.stems:
            raise UsageError(f'no stem "{stem}"; {self.engine.model_name} has {", ".join(self.stems)}')
        return self.stems.index(stem)

    def set_gain(self, stem: str, gain_db: float) -> None:
        """Set a fader in dB; minus infinity is silence."""
        self._faders[self.stem_index(stem)].gain_db = gain_db
        self._apply_gains()

    def change_gain(self, index: int, step_db: float) -> None:
        """Move a fader by a step, between -60 (from there: silence) and +12 dB."""
        fader = self._faders[index]
        moved = max(fader.gain_db, MIN_GAIN_DB) + step_db
        fader.gain_db = min(moved, MAX_GAIN_DB) if moved > MIN_GAIN_DB else float("-inf")
        self._apply_gains()

    def toggle_mute(self, index: int) -> None:
        """Mute or unmute a stem; a fader at minus infinity is set to 0 dB."""
        self.set_muted(index, not self._faders[index].silent)

    def set_muted(self, index: int, muted: bool) -> None:
        """Mute a stem, or unmute it; a fader at minus infinity is set to 0 dB then."""
        fader = self._faders[index]
        fader.muted = muted
        if not muted and fader.gain_db == float("-inf"):
            fader.gain_db = 0.0
        self._apply_gains()

    def toggle_solo(self, index: int) -> None:
        """Solo a stem, or end the solo. A stem that is soloed is unmuted too, as by `toggle_mute`."""
        alone = not self._faders[index].solo
        for number, fader in enumerate(self._faders):
            fader.solo = alone and number == index
            if fader.solo:
                fader.muted = False
                fader.gain_db = 0.0 if fader.gain_db == float("-inf") else fader.gain_db
        self._apply_gains()

    def mute_here(self, indices: frozenset[int]) -> None:
        """Mute stems for as long as the song is where they are marked to be, besides what the faders say."""
        if indices != self._muted_here:
            self._muted_here = indices
            self._apply_gains()

    def all_on(self) -> None:
        """Clear all mutes and solos, and set every fader at minus infinity to 0 dB."""
        for fader in self._faders:
            fader.muted = fader.solo = False
            if fader.gain_db == float("-inf"):
                fader.gain_db = 0.0
        self._apply_gains()

    def toggle_bypass(self) -> None:
        """Switch between the original mix and the stems, at the same position."""
        self.shared.transport.bypass = not self.shared.transport.bypass

    def set_volume(self, volume_db: float) -> None:
        """Set the volume of the output in dB."""
        self._volume_db = min(max(volume_db, MIN_GAIN_DB), MAX_GAIN_DB)
        self._apply_volume()

    def change_volume(self, step_db: float) -> None:
        """Change the volume of the output by a step in dB."""
        self.set_volume(self._volume_db + step_db)

    def linear_gain(self, index: int) -> float:
        """Linear gain of a stem with mute and solo, without the volume."""
        fader = self._faders[index]
        muted = fader.muted or index in self._muted_here
        silent = muted or (any(other.solo for other in self._faders) and not fader.solo)
        return 0.0 if silent else db_to_linear(fader.gain_db)

    @property
    def _output_gain(self) -> float:
        """Linear gain of the whole output."""
        return db_to_linear(self._volume_db)

    def _apply_volume(self) -> None:
        self.shared.transport.master = self._output_gain

    def _apply_gains(self) -> None:
        for index in range(len(self.stems)):
            self.shared.transport.set_gain(index, self.linear_gain(index))

    def _snapshot(self, head: PlayHead, **own: Any) -> PlayerSnapshot:
        """A snapshot of mixer and engine, with the fields `own` of the player."""
        gains = np.array([self.linear_gain(index) for index in range(len(self.stems))], np.float32)
        levels, output = measure(self.shared, head, gains)
        return PlayerSnapshot(
            kind=head.kind,
            bypass=self.shared.transport.bypass,
            volume_db=self._volume_db,
            stems=self.stems,
            faders=self.faders,
            levels=levels,
            output=output,
            late_blocks=head.late_blocks,
            dry_s=head.dry_samples / SAMPLE_RATE,
            wet_s=head.wet_samples / SAMPLE_RATE,
            starved_s=head.starved_samples / SAMPLE_RATE,
            clipped_samples=head.clipped_samples,
            frames=head.frames,
            engine=self.engine.stats(),
            bypass_s=head.bypass_samples / SAMPLE_RATE,
            **own,
        )
