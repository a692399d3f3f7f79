"""The state of a player at one moment, for whatever displays it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtsep.engine.latency import Latency
from rtsep.engine.live_engine import EngineStats
from rtsep.player.faders import Fader
from rtsep.player.meters import Levels
from rtsep.player.practice.loops import NamedLoop
from rtsep.player.practice.singing import Sung
from rtsep.shared.status import Kind


@dataclass(frozen=True)
class LiveSnapshot:
    """What only live sound has.

    Attributes:
        overflows: how often the input device lost samples.
        bad_samples: samples from the input that were not finite numbers and were replaced by silence.
        rejumps: how often the latency was corrected.
        device_measured: whether the device's latency was measured by time stamps; else it is what PortAudio reports.
        recorded_s, recording_gaps: length of the recording, and gaps in it.
    """

    overflows: int
    bad_samples: int
    rejumps: int
    device_measured: bool
    recorded_s: float
    recording_gaps: int


@dataclass(frozen=True)
class PlayerSnapshot:
    """Everything there is to display, at about one moment. `levels` are the stems' after their faders.

    Position, length, loop and cue belong to the current song, number `track` of `tracks`, counted from 0.
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
    levels: tuple[Levels, ...]
    output: Levels
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
    """Permanent failures, a line each."""
    notices: tuple[str, ...] = ()
    """Events and conditions that may pass, a line each."""
    live: LiveSnapshot | None = None
    file: Path | None = None
    track: int = 0
    tracks: int = 1
    loop_s: tuple[float, float | None] | None = None
    cue_s: float | None = None
    output_device: str | None = None
    input_device: str | None = None
    speed: float = 1.0
    key: float = 0.0
    sung: Sung | None = None
    lyrics_offset_s: float = 0.0
    loops: tuple[NamedLoop, ...] = ()
    loop_speed_up: float = 0.0
    tempo_bpm: float | None = None
    metronome: bool = False

    @property
    def played_s(self) -> float:
        """Seconds played, whether separated, dry or bypassed."""
        return self.wet_s + self.dry_s + self.bypass_s
