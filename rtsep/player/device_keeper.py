"""Sound that comes back: a stream that is closed when one of its devices dies and opened again when there is one.

The keeper's thread looks at the callbacks' counters. One that stands still for half a second means a dead device: the
stream is closed, under a time limit. From then on, once a second, PortAudio looks for devices anew and the stream is
opened on the same ones or, where that will do, on the system's default ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Generic, TypeVar

from rtsep.audio.devices.discovery import Device, Kind, find_again, find_device
from rtsep.audio.devices.portaudio import leave_behind, rescan
from rtsep.errors import RtsepError, UnsuitableDevice
from rtsep.player.stream_protocols import PlaybackStream, Stream
from rtsep.shared.state import SharedState

LOOK_S = 0.05
SILENT_LOOKS = 10
"""Half a second without a callback: the device is gone, whatever PortAudio says. Looks are counted, not time: where the
whole player stood still nobody has looked."""
FIRST_LOOKS = 60
"""The same for a stream that has not called back yet: some devices take their time to start."""
GONE_LOOKS = SILENT_LOOKS // 2
"""When one device is gone, the others that have been still for this long went with it."""
RETRY_S = 1.0
END_LIMIT_S = 2.0

StreamT = TypeVar("StreamT", bound=Stream)


@dataclass
class Side:
    """One device of a stream.

    Attributes:
        device: where it is opened now.
        kind: what it is there for.
        or_default: when `device` is gone and the system has another default, that one will do.
    """

    device: Device
    kind: Kind
    or_default: bool = False

    @property
    def searches(self) -> list[Callable[[], Device]]:
        """How to find a device in PortAudio's list of now, the best first; each raises RtsepError if there is none."""
        again = [lambda: find_again(self.device, self.kind)]
        return [*again, lambda: find_device(None, self.kind)] if self.or_default else again


class _Watch:
    """What the looks at one callback's counter of frames have shown."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self.called = False
        self.still = 0
        """Looks since the callback was called."""

    def look(self, frames: int) -> None:
        if frames != self._frames:
            self._frames, self.called, self.still = frames, True, 0
        else:
            self.still += 1

    @property
    def dead(self) -> bool:
        return self.still >= (SILENT_LOOKS if self.called else FIRST_LOOKS)


class DeviceKeeper(Generic[StreamT]):
    """A stream, and a thread that replaces it when a callback is no longer called.

    Args:
        sides: its devices, in the order in which `open_on` takes them.
        open_on: opens a stream on devices.
        frames: counters that move while the callbacks are called, one for each side.
        tell: takes one line for the user when a device is lost and one when there is sound again.
        begin: called when a stream has been started, the first one too; RtsepError if it is not good enough.
        look: called at each look at which every callback had been called.
        refuse: says in one line why these devices will not do; None if they will.

    All are called by the keeper's thread, but for `open_on` here and `begin` in `start`.
    Raises RtsepError if the devices cannot be opened now.
    """

    def __init__(
        self,
        sides: Sequence[Side],
        open_on: Callable[..., StreamT],
        frames: Callable[[StreamT], Sequence[int]],
        tell: Callable[[str], None],
        *,
        begin: Callable[[StreamT], None] = lambda stream: None,
        look: Callable[[], None] = lambda: None,
        refuse: Callable[..., str | None] = lambda *devices: None,
    ) -> None:
        self._sides = sides
        self._open_on = open_on
        self._frames = frames
        self._tell = tell
        self._begin = begin
        self._look = look
        self._refuse = refuse
        self._stream: StreamT | None = open_on(*(side.device for side in sides))
        self._watches: list[_Watch] = []
        self._lost = False
        self._refusal: str | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="rtsep-device-keeper", daemon=True)

    def start(self) -> None:
        """Begin to play, and to watch. RtsepError if a device refuses."""
        assert self._stream is not None
        self._stream.start()
        self._begin(self._stream)
        self._watch(self._stream)
        self._thread.start()

    def stop(self) -> bool:
        """Watch no longer, and let the devices play what they have; False if something hangs and was left behind."""
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

    # -- the keeper's thread ------------------------------------------------------------------------------------

    def _keep(self) -> None:
        due = 0.0
        while not self._closing.wait(LOOK_S):
            if self._stream is not None:
                for watch, frames in zip(self._watches, self._frames(self._stream), strict=True):
                    watch.look(frames)
                if self._lost and all(watch.called for watch in self._watches):
                    self._lost, self._refusal = False, None
                    self._tell(self._sound_again())
                if not any(watch.still for watch in self._watches):
                    self._look()
                if any(watch.dead for watch in self._watches):
                    self._lose()
            if self._stream is None and time.monotonic() >= due:
                due = time.monotonic() + RETRY_S
                self._reopen()

    def _watch(self, stream: StreamT) -> None:
        self._watches = [_Watch(frames) for frames in self._frames(stream)]

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._tell(self._sound_lost())
        stream, self._stream = self._stream, None
        assert stream is not None
        stream.close()

    def _reopen(self) -> None:
        """One try to have a stream again."""
        try:
            rescan()
        except RtsepError:
            return
        tried: list[tuple[Device, ...]] = []
        refusal: str | None = None
        for searches in product(*(side.searches for side in self._sides)):
            try:
                devices = tuple(search() for search in searches)
            except RtsepError:
                continue
            if self._closing.is_set() or devices in tried:
                continue
            tried.append(devices)
            if (why := self._refuse(*devices)) is not None:
                refusal = why
                continue
            try:
                self._go_on_with(devices)
                return
            except UnsuitableDevice as error:
                refusal = str(error)
            except RtsepError:
                pass  # a server that is just coming back refuses many a time
        if refusal is not None and refusal != self._refusal:
            self._refusal = refusal
            self._tell(refusal)

    def _go_on_with(self, devices: tuple[Device, ...]) -> None:
        """RtsepError if they do not open or are not good enough."""
        stream = self._open_on(*devices)
        try:
            if not self._closing.is_set():
                stream.start()
                self._begin(stream)
        except RtsepError:
            stream.close()
            raise
        if self._closing.is_set():  # opening took so long that nobody waits any more
            stream.close()
            return
        for side, device in zip(self._sides, devices, strict=True):
            side.device = device
        self._stream = stream
        self._watch(stream)

    # -- the lines for the user ---------------------------------------------------------------------------------

    def _sound_lost(self) -> str:
        gone = [side for side, watch in zip(self._sides, self._watches, strict=True) if watch.still >= GONE_LOOKS]
        names = list(dict.fromkeys(f'"{side.device.name}"' for side in gone))
        if len(names) > 1:
            return f"the sound devices {' and '.join(names)} have stopped; looking for them"
        stopped = "takes no more sound" if gone[0].kind == "output" else "gives no more sound"
        return f"the sound device {names[0]} {stopped if len(gone) == 1 else 'has stopped'}; looking for it"

    def _sound_again(self) -> str:
        used = (f'{"on" if side.kind == "output" else "from"} "{side.device.name}"' for side in self._sides)
        return f"sound again, {' '.join(used)}"


class OutputKeeper(DeviceKeeper[PlaybackStream]):
    """The keeper of an output stream, which is an output stream to its user.

    While there is no device the play head stands still; the next stream goes on from there, since all that matters lies
    in the shared state.

    Args:
        shared: what is played.
        side: where.
        open_on: opens a stream on a device, e.g. ``lambda device: OutputStream(shared, device.index)``.
        tell: see `DeviceKeeper`.

    Raises RtsepError if the device cannot be opened now.
    """

    def __init__(
        self,
        shared: SharedState,
        side: Side,
        open_on: Callable[[Device], PlaybackStream],
        tell: Callable[[str], None],
    ) -> None:
        self._latency_s = 0.0
        super().__init__([side], open_on, lambda _: [shared.callback.frames], tell, begin=self._note_latency)

    @property
    def latency_s(self) -> float:
        """Of the stream there is, or of the last one; in seconds."""
        return self._latency_s

    def _note_latency(self, stream: PlaybackStream) -> None:
        self._latency_s = stream.latency_s
