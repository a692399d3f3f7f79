"""Sound that comes back: an output stream that is closed when its device dies and opened again when there is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from rtsep.audio.devices import Device, find_again, find_device
from rtsep.audio.portaudio import leave_behind, rescan
from rtsep.dsp.deck import Deck
from rtsep.errors import RtsepError

LOOK_S = 0.05
SILENT_LOOKS = 10
"""Half a second without a callback: the device is gone, whatever PortAudio says. Looks are counted, not time: where the
whole player stood still nobody has looked."""
FIRST_LOOKS = 60
"""The same for a stream that has not called back yet: some devices take their time to start."""
RETRY_S = 1.0
END_LIMIT_S = 2.0


class Stream(Protocol):
    """What the keeper asks of `rtsep.audio.stream.OutputStream`."""

    @property
    def latency_s(self) -> float: ...
    def start(self) -> None: ...
    def stop(self) -> bool: ...
    def close(self) -> bool: ...


class DeviceKeeper:
    """An output stream to its user, and a thread that replaces the real one when the callback is no longer called.

    While there is none the play head stands still; the next stream goes on from there, since all that matters lies in
    the deck.

    Args:
        deck: whose callback is watched.
        device: where to play, and what to look for when it is gone.
        open_on: opens a stream on a device, e.g. ``lambda device: OutputStream(deck, device.index)``.
        or_default: when `device` is gone and the system has another default, play there.
        tell: takes one line for the user when the device is lost and one when there is sound again; called by the
            keeper's thread.

    Raises RtsepError if the device cannot be opened now.
    """

    def __init__(
        self,
        deck: Deck,
        device: Device,
        open_on: Callable[[Device], Stream],
        *,
        or_default: bool,
        tell: Callable[[str], None],
    ) -> None:
        self.device = device
        self._deck = deck
        self._open_on = open_on
        self._or_default = or_default
        self._tell = tell
        self._stream: Stream | None = open_on(device)
        self._latency_s = self._stream.latency_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="rtsep-device-keeper", daemon=True)

    @property
    def latency_s(self) -> float:
        """Of the stream there is, or of the last one; in seconds."""
        return self._latency_s

    def start(self) -> None:
        """Begin to play, and to watch. RtsepError if the device refuses."""
        assert self._stream is not None
        self._stream.start()
        self._thread.start()

    def stop(self) -> bool:
        """Watch no longer, and let the device play what it has; False if something hangs and was left behind."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(END_LIMIT_S)
            if self._thread.is_alive():  # inside PortAudio, opening
                leave_behind()
                return False
        return self._stream is None or self._stream.stop()

    def close(self) -> bool:
        """Close at once; returns as `stop` does. May be called twice."""
        self._closing.set()
        stream, self._stream = self._stream, None
        return stream is None or stream.close()

    def _keep(self) -> None:
        frames, looks, called, lost, due = self._deck.callback.frames, 0, False, False, 0.0
        while not self._closing.wait(LOOK_S):
            seen, frames = frames, self._deck.callback.frames
            if frames != seen:
                looks, called = 0, True
                if lost:
                    lost = False
                    self._tell(f'sound again, on "{self.device.name}"')
                continue
            looks += 1
            if self._stream is not None and looks >= (SILENT_LOOKS if called else FIRST_LOOKS):
                if not lost:
                    lost = True
                    self._tell(f'the sound device "{self.device.name}" takes no more sound; looking for it')
                stream, self._stream = self._stream, None
                stream.close()
            if self._stream is None and time.monotonic() >= due:
                due = time.monotonic() + RETRY_S
                self._reopen()
                looks, called = 0, False

    def _reopen(self) -> None:
        searches: list[Callable[[], Device]] = [lambda: find_again(self.device)]
        if self._or_default:
            searches.append(find_device)
        for search in searches:
            try:
                rescan()
                device = search()
                stream = self._open_on(device)
            except RtsepError:
                continue
            try:
                stream.start()
            except RtsepError:
                stream.close()
                continue
            self.device, self._stream, self._latency_s = device, stream, stream.latency_s
            return
