"""What a player tells whoever shows it: one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtsep.engine.latency import Latency
from rtsep.engine.live_engine import EngineStats
from rtsep.player.faders import Fader
from rtsep.shared.status import Kind


@dataclass(frozen=True)
class LiveStatus:
    """What only live sound has.

    Attributes:
        overflows: times that the input device had lost samples.
        bad_samples: that came in, were no numbers and became silence.
        rejumps: times that the play head was put back to its distance behind the input.
        device_measured: whether the device's part of the latency comes from time stamps; else it is PortAudio's word.
        recorded_s, recording_gaps: of the files being written.
    """

    overflows: int
    bad_samples: int
    rejumps: int
    device_measured: bool
    recorded_s: float
    recording_gaps: int


@dataclass(frozen=True)
class PlayerStatus:
    """Everything there is to show, of about one moment. Levels are RMS in dB full scale, after the fader.

    Position, length, loop and cue are those of the song that plays, number `track` of `tracks`, counted from 0.
    """

    position_s: float
    length_s: float | None
    playing: bool
    ended: bool
    kind: Kind
    bypass: bool
    volume_db: float
    stems: tuple[str, ...]
    faders: tuple[Fader, ...]
    levels_db: tuple[float, ...]
    latency: Latency
    late_blocks: int
    dry_s: float
    wet_s: float
    starved_s: float
    clipped_samples: int
    frames: int
    engine: EngineStats
    bypass_s: float
    messages: tuple[str, ...]
    """What has failed for good, a line each."""
    notices: tuple[str, ...] = ()
    """What is worth a line and may pass."""
    live: LiveStatus | None = None
    file: Path | None = None
    track: int = 0
    tracks: int = 1
    loop_s: tuple[float, float | None] | None = None
    cue_s: float | None = None

    @property
    def played_s(self) -> float:
        """Seconds of sound that went out, however: separated, dry or bypassed."""
        return self.wet_s + self.dry_s + self.bypass_s
