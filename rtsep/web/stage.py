"""What the pages look at: the player's desk once there is one, and until then what it waits for."""

from __future__ import annotations

import queue
import time
from pathlib import Path

from rtsep.control.desk import Desk

LOOK_S = 0.1


class Stage:
    """Shared by the thread that runs the player and that of the server.

    Args:
        live: whether an input is separated.
        output: "device" or "browser".

    Attributes:
        desk: None until the player is there, and when it is gone.
        text: why there is none.
    """

    def __init__(self, live: bool, output: str) -> None:
        self.live = live
        self.output = output
        self.desk: Desk | None = None
        self.text = "starting"
        self._first_songs: queue.SimpleQueue[Path] = queue.SimpleQueue()

    def add_song(self, path: Path) -> None:
        """Add a song to the queue, or begin with it. RtsepError if it cannot be read, or while the player starts."""
        if self.desk is None:
            self._first_songs.put(path)
        else:
            self.desk.add_songs(path)

    def wait_for_songs(self) -> list[Path]:
        """Wait for the first song that a page uploads."""
        self.text = "no song yet: drop one here"
        while self._first_songs.empty():
            time.sleep(LOOK_S)  # not a wait with a lock, which a second control-C would leave broken
        self.text = "starting"
        return [self._first_songs.get()]

    def set_desk(self, desk: Desk) -> None:
        """The player is there. Songs that came while it started follow."""
        self.desk = desk
        while not self._first_songs.empty():
            desk.add_songs(self._first_songs.get())
