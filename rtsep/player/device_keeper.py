"""Streams that survive the loss of a device: closed when one stops responding, and reopened when it is back.

The keeper's thread watches the callbacks' counters. One that doesn't move for half a second means a dead device: the
stream is closed, within a time limit. From then on, once a second, PortAudio scans for devices and the stream is
reopened on the same ones or, where that is allowed, on the system's defaults. A user may choose another one meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Generic, TypeVar

from rtsep.audio.devices.discovery import Device, Direction, find_again, find_device
from rtsep.audio.devices.portaudio import rescan, skip_exit_handler
from rtsep.errors import RtsepError, UnsuitableDevice
from rtsep.player.stream_protocols import PlaybackStream, Stream
from rtsep.shared.state import SharedState
from rtsep.system.guarded_thread import guarded_thread

LOOK_S = 0.05
SILENT_LOOKS = 10
"""Half a second without a callback: the device is gone, whatever PortAudio says. Looks are counted, not time: while the
whole player was suspended there were none."""
FIRST_LOOKS = 60
"""The same for a stream that has not called back yet: some devices take their time to start."""
GONE_LOOKS = SILENT_LOOKS // 2
"""When one device is gone, the others that haven't called back for so long went with it."""
RETRY_S = 1.0
END_LIMIT_S = 2.0

StreamT = TypeVar("StreamT", bound=Stream)


@dataclass
class Side:
    """The input or the output of a stream.

    Attributes:
        device: where it is opened now.
        kind: input or output.
        or_default: when `device` is gone, the system's current default may replace it.
        label: its name for people, where the device's own says nothing.
    """

    device: Device
    kind: Direction
    or_default: bool = False
    label: str | None = None

    @property
    def name(self) -> str:
        return self.label or self.device.name

    @property
    def searches(self) -> list[Callable[[], Device]]:
        """Ways to find a device in PortAudio's current list, best first; each raises RtsepError if it fails."""
        same = [lambda: find_again(self.device, self.kind)]
        return [*same, lambda: find_device(None, self.kind)] if self.or_default else same


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
        sides: its devices, in the order in which `open_on` expects them.
        open_on: opens a stream on devices.
        frames: counters that move while the callbacks are called, one for each side.
        report: receives a line for the user when a device is lost, and another when sound has resumed.
        on_start: called whenever a stream has been started, the first one included; raises RtsepError to reject it.
        on_look: called at each look at which every callback had been called.
        refuse: returns in one line why these devices can't be used together, or None.

    All are called by the keeper's thread, except for `open_on` here and `on_start` in `start`. An unexpected exception
    in that thread is reported and ends the watch; an open stream plays on.

    Raises RtsepError if the devices can't be opened now.
    """

    def __init__(
        self,
        sides: Sequence[Side],
        open_on: Callable[..., StreamT],
        frames: Callable[[StreamT], Sequence[int]],
        report: Callable[[str], None],
        *,
        on_start: Callable[[StreamT], None] = lambda stream: None,
        on_look: Callable[[], None] = lambda: None,
        refuse: Callable[..., str | None] = lambda *devices: None,
    ) -> None:
        self._sides = sides
        self._open_on = open_on
        self._frames = frames
        self._report = report
        self._on_start = on_start
        self._on_look = on_look
        self._refuse = refuse
        self._stream: StreamT | None = open_on(*(side.device for side in sides))
        self._watches: list[_Watch] = []
        self._is_lost = False
        self._refusal: str | None = None
        self._wanted: tuple[Device, ...] | None = None
        self._closing = threading.Event()
        self._thread = guarded_thread(self._run, "rtsep-device-keeper", "device monitoring", self._give_up)

    def start(self) -> None:
        """Start the stream and the watch over its devices. RtsepError if a device refuses."""
        assert self._stream is not None
        self._stream.start()
        self._on_start(self._stream)
        self._watch(self._stream)
        self._thread.start()

    def change(self, kind: Direction, device: Device) -> None:
        """Go over to another device of that kind as soon as possible; where that fails, stay, with a line about why."""
        wanted = tuple(device if side.kind == kind else side.device for side in self._sides)
        if wanted != tuple(side.device for side in self._sides):
            self._wanted = wanted

    def stop(self) -> bool:
        """End the watch, and let the devices play what is buffered; False if something hangs and was left behind."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(END_LIMIT_S)
            if self._thread.is_alive():  # inside PortAudio, opening
                skip_exit_handler()
                return False
        return self._stream is None or self._stream.stop()

    def close(self) -> bool:
        """Close at once; returns as `stop` does. May be called twice."""
        self._closing.set()
        stream, self._stream = self._stream, None
        return stream is None or stream.close()

    # -- the keeper's thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        due = 0.0
        while not self._closing.wait(LOOK_S):
            wanted, self._wanted = self._wanted, None
            if wanted is not None:
                self._change(wanted)
            if self._stream is not None:
                self._look(self._stream)
            if self._stream is None and time.monotonic() >= due:
                due = time.monotonic() + RETRY_S
                self._reopen()

    def _change(self, wanted: tuple[Device, ...]) -> None:
        """The stream that is open ends first: two callbacks must never share a state."""
        if (reason := self._refuse(*wanted)) is not None:
            self._report(reason)
            return
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        try:
            self._resume_on(wanted)
        except RtsepError as error:
            self._report(f"{error}; back to the device that was used before")
            with suppress(RtsepError):  # gone meanwhile: it is looked for as a lost one is
                self._resume_on(tuple(side.device for side in self._sides))

    def _give_up(self, line: str) -> None:
        """Without the watch the sound lasts as long as the devices do."""
        if self._stream is None:
            self._report(f"{line}; lost devices are not reopened, and there is no sound: start again")
        else:
            self._report(f"{line}; playing on, but a lost device will not be reopened")

    def _watch(self, stream: StreamT) -> None:
        self._watches = [_Watch(frames) for frames in self._frames(stream)]

    def _look(self, stream: StreamT) -> None:
        for watch, frames in zip(self._watches, self._frames(stream), strict=True):
            watch.look(frames)
        if self._is_lost and all(watch.called for watch in self._watches):
            self._is_lost, self._refusal = False, None
            self._report(self._resumed_line())
        if not any(watch.still for watch in self._watches):
            self._on_look()
        if any(watch.dead for watch in self._watches):
            if not self._is_lost:
                self._is_lost = True
                self._report(self._lost_line())
            self._stream = None
            stream.close()

    def _reopen(self) -> None:
        """Try once to open a stream again."""
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
            if (reason := self._refuse(*devices)) is not None:
                refusal = reason
                continue
            try:
                self._resume_on(devices)
                return
            except UnsuitableDevice as error:
                refusal = str(error)
            except RtsepError:
                pass  # a server that is just starting refuses repeatedly
        if refusal is not None and refusal != self._refusal:
            self._refusal = refusal
            self._report(refusal)

    def _resume_on(self, devices: tuple[Device, ...]) -> None:
        """RtsepError if they don't open or are rejected."""
        stream = self._open_on(*devices)
        try:
            if not self._closing.is_set():
                stream.start()
                self._on_start(stream)
        except BaseException:
            stream.close()
            raise
        if self._closing.is_set():  # opening took so long that nobody waits any more
            stream.close()
            return
        for side, device in zip(self._sides, devices, strict=True):
            if device != side.device:
                side.device, side.label = device, None
        self._stream = stream
        self._watch(stream)

    # -- the lines for the user ---------------------------------------------------------------------------------

    def _lost_line(self) -> str:
        lost = [side for side, watch in zip(self._sides, self._watches, strict=True) if watch.still >= GONE_LOOKS]
        names = list(dict.fromkeys(f'"{side.name}"' for side in lost))
        if len(lost) == 1:
            return f"{lost[0].kind} device {names[0]} stopped responding; reconnecting"
        return f"{'devices' if len(names) > 1 else 'device'} {' and '.join(names)} stopped responding; reconnecting"

    def _resumed_line(self) -> str:
        used = (f'{"to" if side.kind == "output" else "from"} "{side.name}"' for side in self._sides)
        return f"sound resumed {' '.join(used)}"


class OutputKeeper(DeviceKeeper[PlaybackStream]):
    """The keeper of an output stream, used like the stream itself.

    While there is no device the play head does not move. The next stream continues from there, since the play position
    lies in the shared state.

    Args:
        shared: what is played.
        side: where.
        open_on: opens a stream on a device, e.g. ``lambda device: OutputStream(shared, device.index)``.
        report: see `DeviceKeeper`.

    Raises RtsepError if the device can't be opened now.
    """

    def __init__(
        self,
        shared: SharedState,
        side: Side,
        open_on: Callable[[Device], PlaybackStream],
        report: Callable[[str], None],
    ) -> None:
        self._latency_s = 0.0
        self._side = side
        super().__init__([side], open_on, lambda _: [shared.callback.frames], report, on_start=self._note_latency)

    @property
    def latency_s(self) -> float:
        """Output latency of the current stream, or of the last one, in seconds."""
        return self._latency_s

    @property
    def device(self) -> Device:
        """Where it plays, or is to play again."""
        return self._side.device

    def _note_latency(self, stream: PlaybackStream) -> None:
        self._latency_s = stream.latency_s
