"""The side of the process that plays: answers what the app asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from rtsep.control.state import plain
from rtsep.errors import RtsepError
from rtsep.ui.app.protocol import Devices, Done, Look, Request, Spectrum, Update, Waveform, request_decoder

if TYPE_CHECKING:
    from rtsep.control.desk import Desk
    from rtsep.player.notices import Notices
    from rtsep.player.spectrum import Spectrum as Follower

CPU_S = 1.0
"""What CPU time is measured over."""


@dataclass
class Attendant:
    """Answers one request after the other, from one thread.

    Attributes:
        do: carries out a command, or adds songs; returns why it can't, in one line, or None.
        desk: the desk, or None while the player is starting.
        waiting: why nothing plays yet, in a few words.
        lines: the messages for the user.
    """

    do: Callable[[Request], str | None]
    desk: Callable[[], Desk | None]
    waiting: Callable[[], str]
    lines: Notices
    _follower: Follower | None = None
    _cpu: tuple[float, float, float] = field(default_factory=lambda: (time.process_time(), time.monotonic(), 0.0))

    def answer(self, request: bytes) -> bytes:
        """The reply to one request."""
        asked = request_decoder.decode(request)
        return _encoder.encode(self._look(asked) if isinstance(asked, Look) else Done(self.do(asked)))

    def _look(self, look: Look) -> Update:
        desk = self.desk()
        lines, count = self.lines.since(look.lines)
        state: Any = None if desk is None else desk.state()
        waveform = None if desk is None or look.columns == 0 else _waveform(desk, state.player.length_s, look)
        queue: Any = None if desk is None or look.queue == state.queue_changes else desk.queue()
        spectrum = None if desk is None or look.spectrum is None else self._spectrum(desk, look.spectrum)
        devices = None if desk is None or not look.devices else _devices(desk)
        told = state, self.waiting(), lines, count, waveform, queue, spectrum, devices
        return Update(*told, self._cpu_percent())

    def _spectrum(self, desk: Desk, source: int) -> Spectrum:
        if self._follower is None:
            self._follower = desk.spectrum()
        levels = self._follower.look().levels_db
        return Spectrum(source, levels.shape[2], levels[:, source].tobytes())

    def _cpu_percent(self) -> float:
        """Measured anew every second."""
        used_s, at_s, percent = self._cpu
        if (now_s := time.monotonic()) - at_s > CPU_S:
            percent = 100 * (time.process_time() - used_s) / (now_s - at_s)
            self._cpu = time.process_time(), now_s, percent
        return percent


def _devices(desk: Desk) -> Devices:
    """The devices; none where they cannot be listed."""
    try:
        return Devices(desk.devices("output"), desk.devices("input") if desk.is_live else [])
    except RtsepError:
        return Devices([], [])


def _waveform(desk: Desk, length_s: float | None, look: Look) -> Waveform | None:
    """The overview of the current song; None if the app has it already, or for live sound."""
    overview = desk.overview()
    if overview is None:
        return None
    length_s = overview.length_s if length_s is None else length_s
    version = f"{id(overview)} {len(overview.columns)} {length_s} {look.columns}"
    if version == look.waveform:
        return None
    levels = overview.resample(0.0, length_s, look.columns).tobytes()
    return Waveform(version, levels, overview.title, overview.artist)


_encoder = msgspec.msgpack.Encoder(enc_hook=plain)
