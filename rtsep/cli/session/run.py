"""What every run of a player has, whatever its face: the desk, its messages and its end."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rtsep.audio.callback.routing import routes_text
from rtsep.cli.output.notifications import Notifications
from rtsep.cli.output.wait_line import WaitLine
from rtsep.cli.session.options import PlaybackOptions
from rtsep.control.desk import Desk
from rtsep.player.notices import Notices
from rtsep.ui import console

if TYPE_CHECKING:
    from rtsep.player.file_player import FilePlayer
    from rtsep.player.live_player import LivePlayer
    from rtsep.player.snapshot import PlayerSnapshot

FADE_OUT_S = 0.1


class Run:
    """A run of a player; faces build on it.

    Args:
        options: of the command line.

    Attributes:
        desk: carries out what is asked of the player; `attach` makes it.
        wait_line: shows why nothing plays yet.
        interrupted: whether control-C ended the run.
    """

    desk: Desk

    def __init__(self, options: PlaybackOptions) -> None:
        self.wait_line = WaitLine(quiet=options.json)
        self.interrupted = False
        self._options = options
        self._notifications = Notifications(Notices())

    @property
    def reported(self) -> Iterable[str]:
        """The last hundred lines that were shown, except those of `PlayerSnapshot.messages`."""
        return self._notifications.reported

    def attach(self, player: FilePlayer | LivePlayer, notices: Notices) -> None:
        """Set preset and faders of `player` to the options, and show what `notices` reports.

        Raises UsageError for a stem or preset that it does not have.
        """
        self.desk = Desk(player)
        if self._options.preset is not None:
            self.desk.use_preset(self._options.preset)
        for stem, gain_db in self._options.gain:
            player.set_gain(stem, gain_db)
        routes = dict(self._options.to)
        for stem in routes:
            player.stem_index(stem)
        if routes:
            notices.append(routes_text(routes))
        self._notifications = Notifications(notices)

    def report(self, status: PlayerSnapshot) -> None:
        """Write the messages that are new since the last call."""
        for line in self._notifications.look(status.messages, self.desk.player.engine.notices, time.monotonic()):
            console.say(line)

    def _is_over(self, status: PlayerSnapshot) -> bool:
        """Whether `--seconds` have played."""
        return self._options.seconds is not None and status.played_s >= self._options.seconds

    def _fade_out(self) -> None:
        self.desk.player.pause()
        time.sleep(FADE_OUT_S)
