"""What the app and the process that plays send each other: MessagePack, a reply to each request.

The app sends a command of the table, and gets a `Done`; or a `Look`, and gets an `Update` of what has changed. It asks
as often as it can draw, so that nothing piles up in a slow terminal. `Update` holds the state of
`rtsep.control.state`; the structures here name the fields of it that the app shows, and need none of the player's
modules.
"""

from __future__ import annotations

from typing import Union

import msgspec

from rtsep.control.commands.base import Command
from rtsep.control.table import COMMANDS


class Look(msgspec.Struct, tag_field="command", tag="look"):
    """Asks for everything that has changed.

    Attributes:
        lines: how many messages have been received.
        columns: of the waveform overview to be received.
        waveform: `Waveform.version` of the last one received; empty to get it again.
        queue: `State.queue_changes` with the last queue received.
        spectrum: whose columns to send: 0 for the mixture, then the stems; None for none.
        devices: whether to list the sound devices.
    """

    lines: int = 0
    columns: int = 0
    waveform: str = ""
    queue: int = -1
    spectrum: int | None = None
    devices: bool = False


class AddSongs(msgspec.Struct, tag_field="command", tag="add_songs"):
    """Adds files, and folders of files, to the queue. Only this app may send it: it runs as the user."""

    paths: list[str]


class Done(msgspec.Struct):
    """The reply to a command: why it was not carried out, in one line; None if it was."""

    error: str | None = None


class Waveform(msgspec.Struct):
    """The overview of the current song.

    Attributes:
        version: changes with every change.
        levels: for each column lowest, highest and RMS sample, float32; NaN where nothing is known yet.
        title, artist: from the tags; empty without.
    """

    version: str
    levels: bytes
    title: str
    artist: str


class Fader(msgspec.Struct):
    """A fader; -inf dB is silence."""

    gain_db: float
    muted: bool
    solo: bool

    @property
    def silent(self) -> bool:
        """Whether the stem is muted or its fader at the bottom."""
        return self.muted or self.gain_db == float("-inf")


class Levels(msgspec.Struct):
    """See `rtsep.player.meters.Levels`."""

    rms_db: float
    peak_db: float


class Engine(msgspec.Struct):
    """See `rtsep.engine.live_engine.EngineStats`."""

    state: str
    chunk: int
    hops: int
    late_hops: int
    skipped_hops: int
    restarts: int
    compute_p50_ms: float
    compute_p99_ms: float
    network: str


class Latency(msgspec.Struct):
    """See `rtsep.engine.latency.Latency`; samples."""

    algorithmic: int
    margin: int
    device: int


class Live(msgspec.Struct):
    """See `rtsep.player.snapshot.LiveSnapshot`."""

    overflows: int
    bad_samples: int
    rejumps: int
    recorded_s: float
    recording_gaps: int


class Player(msgspec.Struct):
    """See `rtsep.player.snapshot.PlayerSnapshot`; `file` is a name without folders."""

    position_s: float
    length_s: float | None
    playing: bool
    bypass: bool
    volume_db: float
    stems: list[str]
    faders: list[Fader]
    levels: list[Levels]
    output: Levels
    latency: Latency
    late_blocks: int
    dry_s: float
    wet_s: float
    starved_s: float
    clipped_samples: int
    engine: Engine
    bypass_s: float
    live: Live | None
    file: str | None
    track: int
    tracks: int
    loop_s: tuple[float, float | None] | None
    cue_s: float | None
    output_device: str | None
    input_device: str | None


class State(msgspec.Struct):
    """See `rtsep.control.state.State`."""

    player: Player
    selected: int
    queue_changes: int


class QueuedSong(msgspec.Struct):
    """See `rtsep.control.state.QueuedSong`."""

    name: str
    length_s: float | None


class Spectrum(msgspec.Struct):
    """Spectrogram columns that are new, float32 (n, bands) in dB; see `rtsep.player.spectrum`."""

    source: int
    bands: int
    levels_db: bytes


class Devices(msgspec.Struct):
    """Names of the sound devices."""

    outputs: list[str]
    inputs: list[str]


class Update(msgspec.Struct):
    """The reply to a `Look`.

    Attributes:
        state: of the player; None while it is starting.
        waiting: why nothing plays yet.
        lines: messages that are new, and how many there have been in all.
        waveform: None if it is as it was, or there is none.
        queue: the songs, None if they are as they were.
        spectrum, devices: None unless asked for.
        cpu_percent: CPU time that the process that plays has used lately, 100 for one core.
    """

    state: State | None
    waiting: str
    lines: list[str]
    line_count: int
    waveform: Waveform | None
    queue: list[QueuedSong] | None
    spectrum: Spectrum | None
    devices: Devices | None
    cpu_percent: float


Request = Command | AddSongs
request_decoder = msgspec.msgpack.Decoder(Union[(Look, AddSongs, *COMMANDS)])  # type: ignore[arg-type]
done_decoder = msgspec.msgpack.Decoder(Done)
update_decoder = msgspec.msgpack.Decoder(Update)
