"""The desk: a player as its faces see it. Commands come in from any thread, the state goes out to anyone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from rtsep.control.commands.base import Command
from rtsep.control.state import STATE_VERSION, QueuedSong, State
from rtsep.errors import UsageError
from rtsep.timebase import SAMPLE_RATE

if TYPE_CHECKING:
    from rtsep.audio.devices.discovery import Direction
    from rtsep.player.file_player import FilePlayer
    from rtsep.player.live_player import LivePlayer
    from rtsep.player.overview import Overview, Overviews
    from rtsep.player.practice.lyrics import Lyrics
    from rtsep.player.practice.presets import Preset
    from rtsep.player.spectrum import Spectrum


class Desk:
    """Carries out commands one at a time, in the order in which they come.

    Args:
        player: what commands act on.

    Attributes:
        selected: number of the stem that `change_gain` moves.
        over: set when a face has asked to quit.
    """

    def __init__(self, player: FilePlayer | LivePlayer) -> None:
        self.player = player
        self.selected = 0
        self.over = threading.Event()
        self._lock = threading.RLock()
        self._overviews: Overviews | None = None
        self._presets: dict[str, Preset] | None = None

    def do(self, command: Command) -> None:
        """Carry out a command. UsageError if this player can't, in one line for the user."""
        if self.is_live and not command.live:
            raise UsageError(f"{command.name()}: not possible with live sound")
        if not self.is_live and not command.songs:
            raise UsageError(f"{command.name()}: only possible with live sound")
        with self._lock:
            command.apply(self)

    def state(self) -> State:
        """Everything there is to display, at about one moment."""
        with self._lock:
            changes = 0 if self.is_live else self.file_player.source.queue.changes
            return State(STATE_VERSION, self.player.status(), self.selected, changes, self._used_preset())

    def queue(self) -> list[QueuedSong]:
        """The songs of the queue in their order; none with live sound."""
        if self.is_live:
            return []
        queue = self.file_player.source.queue
        songs = [queue.songs[track] for track in queue.order]
        lengths_s = (None if song.length is None else song.length / SAMPLE_RATE for song in songs)
        return [QueuedSong(song.path.name, length_s) for song, length_s in zip(songs, lengths_s, strict=True)]

    def add_songs(self, *paths: Path) -> list[str]:
        """Add files to the queue; returns a line for each that cannot be read. RtsepError if none can.

        No command: a program that sends one must not reach the files of this machine by it.
        """
        if self.is_live:
            raise UsageError("songs cannot be added to live sound")
        with self._lock:
            return self.file_player.add_songs(*paths)

    def overview(self) -> Overview | None:
        """The waveform of the current song, which may still be growing; None for live sound."""
        if self.is_live:
            return None
        from rtsep.player.overview import Overviews  # here, not above: with numpy

        with self._lock:
            if self._overviews is None:
                self._overviews = Overviews()
            return self._overviews.find(self.file_player.song.path)

    def devices(self, kind: Direction) -> list[str]:
        """Names of the sound devices of that kind; RtsepError without a PortAudio library."""
        from rtsep.audio.devices.discovery import list_devices

        return list(dict.fromkeys(device.name for device in list_devices() if device.serves(kind)))

    def presets(self) -> list[str]:
        """Names of the presets; UsageError if the file of the user's own ones cannot be used."""
        return list(self._load_presets())

    def lyrics(self) -> Lyrics | None:
        """The lyrics of the current song, all of them; None if there are none, or for live sound."""
        if self.is_live:
            return None
        with self._lock:
            return self.file_player.lyrics

    def spectrum(self) -> Spectrum:
        """A new follower of the play head, for the thread of one face."""
        from rtsep.player.spectrum import Spectrum

        return Spectrum(self.player.shared)

    def close(self) -> None:
        """End what only faces have needed. The player is not closed."""
        with self._lock:
            if self._overviews is not None:
                self._overviews.close()

    @property
    def is_live(self) -> bool:
        """Whether the player separates an input."""
        return not hasattr(self.player, "seek")

    # -- for the commands --------------------------------------------------------------------------------------

    @property
    def file_player(self) -> FilePlayer:
        """The player of songs."""
        return self.player  # type: ignore[return-value]  # `do` refuses commands that are not for live sound

    @property
    def live_player(self) -> LivePlayer:
        """The player of live sound."""
        return self.player  # type: ignore[return-value]  # likewise

    def stem_index(self, stem: int | str) -> int:
        """Number of a stem, from its number or name; UsageError with the model's stems if there is none."""
        if isinstance(stem, str):
            return self.player.stem_index(stem)
        if not 0 <= stem < len(self.player.stems):
            raise UsageError(f"no stem {stem + 1}; the model has {', '.join(self.player.stems)}")
        return stem

    def select(self, stem: int) -> None:
        """Select a stem by its number."""
        self.selected = stem

    def use_preset(self, name: str) -> None:
        """Set all faders as a preset has them; UsageError if there is none, or a stem of it is missing."""
        from rtsep.player.practice.presets import apply_preset, find_preset

        apply_preset(find_preset(self._load_presets(), name), self.player)

    def next_preset(self) -> None:
        """Use the next preset that has all its stems."""
        from rtsep.player.practice.presets import next_preset

        next_preset(self._load_presets(), self.player)

    def _load_presets(self) -> dict[str, Preset]:
        from rtsep.player.practice.presets import load_presets  # here, not above: with numpy

        if self._presets is None:
            self._presets = load_presets()
        return self._presets

    def _used_preset(self) -> str | None:
        if self._presets is None:  # none has been used yet
            return None
        from rtsep.player.practice.presets import used_preset

        return used_preset(self._presets, self.player)

    def quit(self) -> None:
        """Ask whoever runs the player to end."""
        self.over.set()
