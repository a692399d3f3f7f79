"""What a player of songs does with loops: keeps them by name, and gets faster each time round."""

from __future__ import annotations

from rtsep.errors import UsageError
from rtsep.player.mixer import Mixer
from rtsep.player.practice.limits import check_speed_step
from rtsep.player.practice.loops import LoopBook, NamedLoop
from rtsep.player.practice.singing import Singing
from rtsep.player.practice.tempo import Tempo
from rtsep.player.queue.navigation import Navigator


class Rehearsal(Mixer, Navigator, Tempo, Singing):
    """The part of a player of songs that joins loop and speed. Its other parts are initialised one by one.

    Attributes:
        loop_book: the loops with names, by song.
    """

    def __init__(self) -> None:
        self.loop_book = LoopBook()
        self._speed_up = 0.0
        self._round: tuple[int, int] | None = None

    @property
    def loops(self) -> list[NamedLoop]:
        """The loops of this song that have names."""
        return self.loop_book.loops(self.song_path)

    @property
    def loop_speed_up(self) -> float:
        """By how much a loop gets faster each time round."""
        return self._speed_up

    def save_loop(self, name: str) -> None:
        """Keep the loop that is set under a name. UsageError without one, and for a bad name."""
        if self.loop_s is None or self.loop_s[1] is None:
            raise UsageError(f'no loop to save as "{name}"; set its start and end first')
        self.loop_book.save(self.song_path, NamedLoop(name, self.loop_s[0], self.loop_s[1]))

    def use_loop(self, name: str) -> None:
        """Set the loop of this song that has that name. UsageError if there is none."""
        loop = self.loop_book.find(self.song_path, name)
        self.set_loop(loop.start_s, loop.end_s)

    def remove_loop(self, name: str) -> None:
        """Forget the loop of this song that has that name; if it is played, it is played on. UsageError as above."""
        self.loop_book.remove(self.song_path, name)

    def set_loop_speed_up(self, step: float) -> None:
        """Get faster by `step` each time the loop comes round, up to twice the song's speed; 0 keeps the speed."""
        check_speed_step(step)
        if step != 0.0:
            self.check_practice()
        self._speed_up = step

    def look(self) -> None:
        """Called some twenty times a second by the thread of speed and key: has the loop come round?"""
        if self._speed_up == 0.0 or self._loop is None:
            self._round = None
            return
        head = self.shared.callback.read()
        piece = self.source.piece(head.epoch, head.position)
        if piece is None:
            return
        before, self._round = self._round, (head.epoch, piece.begin)
        is_later = before is not None and before[0] == head.epoch and piece.begin > before[1]
        if is_later and piece.place.sample == self._loop.begin:
            self.change_speed(self._speed_up)
