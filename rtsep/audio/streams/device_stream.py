"""The streams: PortAudio driven by the compiled callbacks."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.callback.capture import CaptureControl, capture_callback, duplex_callback
from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import stream_callback
from rtsep.audio.callback.routing import NO_ROUTES, Routes, channels_needed, check_channels
from rtsep.audio.devices.portaudio import checked_sounddevice, leave_behind, left_alone, reachable, silence_alsa
from rtsep.errors import RtsepError
from rtsep.shared.state import SharedState
from rtsep.system.priority import lock_memory, native_threads, raise_new_threads
from rtsep.timebase import SAMPLE_RATE

Latency = float | Literal["low", "high"]
INVALID_SAMPLE_RATE = -9997  # PaErrorCode
LARGEST_FACTOR = 8  # between the engine's rate and a device's, which `rtsep.dsp.corrector` can bridge


class _Side(NamedTuple):
    """A device as it is to be opened: `what` names it and its purpose, `own_rate` is in Hz."""

    what: str
    channels: int
    own_rate: int


class DeviceStream:
    """A PortAudio stream with a compiled callback; what the kinds of streams below have in common.

    Raises RtsepError: no PortAudio, an unknown sounddevice, no such device, or the device refuses.

    Attributes:
        samplerate: in Hz, as opened.
    """

    samplerate = SAMPLE_RATE

    def __init__(self) -> None:
        self._sounddevice = checked_sounddevice()
        self._stream: Any = None
        self._threads_before = native_threads()
        self._seen: CallbackControl | CaptureControl | None = None
        silence_alsa()

    def _open(
        self,
        kind: str,
        what: str,
        rates: list[int],
        prepare: Callable[[int], tuple[Any, CallbackControl | CaptureControl]],
        **settings: Any,
    ) -> None:
        """Open it at the first of `rates` that the device takes.

        `what` names device and purpose for the one line that says why not; `prepare` gives callback and control for
        a rate.
        """
        sounddevice = self._sounddevice
        foreign = sounddevice._ffi
        for rate in rates:
            if not 1 / LARGEST_FACTOR <= rate / SAMPLE_RATE <= LARGEST_FACTOR:
                far = "more than eight times or less than an eighth of"
                raise RtsepError(f"cannot open {what}: its {rate} Hz are {far} {SAMPLE_RATE} Hz")
            callback, self._seen = prepare(rate)
            reachable.add(self)
            try:
                self._stream = sounddevice._StreamBase(
                    kind=kind,
                    dtype="float32",
                    samplerate=rate,
                    clip_off=True,  # our limiter has done it, and with dithering off the samples arrive as they are
                    dither_off=True,
                    callback=foreign.cast("PaStreamCallback *", callback.address),
                    userdata=foreign.cast("void *", self._seen.fields.ctypes.data),
                    **settings,
                )
                self.samplerate = rate
                return
            except (sounddevice.PortAudioError, ValueError) as error:
                reachable.discard(self)
                if rate == rates[-1] or INVALID_SAMPLE_RATE not in error.args:
                    raise RtsepError(f"cannot open {what}: {_first_line(error)}") from error

    def _ask(self, device_index: int | None, kind: Literal["input", "output"], routes: Routes = NO_ROUTES) -> _Side:
        """How to open the device: with two channels where it has two, and with more if `routes` ask for them."""
        purpose = "playing" if kind == "output" else "recording"
        try:
            found = self._sounddevice.query_devices(device_index, kind)
        except (self._sounddevice.PortAudioError, ValueError) as error:
            which = f"the default {kind}" if device_index is None else f"device {device_index}"
            raise RtsepError(f"cannot open {which} for {purpose}: {_first_line(error)}") from error
        name, channels = f'"{found["name"]}"', int(found[f"max_{kind}_channels"])
        check_channels(routes, name, channels)
        own_rate = round(found.get("default_samplerate", SAMPLE_RATE))
        return _Side(f"{name} for {purpose}", min(channels_needed(routes), channels), own_rate)

    @property
    def active(self) -> bool:
        """True while PortAudio calls the callback; False before `start`, after `stop` and when the device is gone."""
        return self._stream is not None and bool(self._stream.active)

    def start(self) -> None:
        """Begin to call the callback."""
        if self._stream is None:
            raise ValueError("the stream is closed")
        try:
            self._stream.start()
        except self._sounddevice.PortAudioError as error:
            raise RtsepError(f"cannot start the sound: {_first_line(error)}") from error
        raise_new_threads(self._threads_before)
        lock_memory()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Let PortAudio play what it has and stop calling the callback.

        Returns:
            True when stopped; False when PortAudio did not come back in time: the stream is then given up, its
            memory is kept until the process ends, and another one may be opened.
        """
        return self._stream is None or self._within(timeout_s, self._stream.stop)

    def close(self, timeout_s: float = 2.0) -> bool:
        """Close at once, without playing what is left. Idempotent; returns as `stop` does."""
        stream = self._stream
        if stream is None:
            return True

        def abort_and_close() -> None:
            stream.abort()  # closing an active stream hangs in some PortAudio versions
            stream.close()

        self._retire()
        done = self._within(timeout_s, abort_and_close)
        if done:
            self._stream = None
            reachable.discard(self)
        return done

    def _within(self, timeout_s: float, action: Callable[[], object]) -> bool:
        thread = left_alone(action)
        thread.join(timeout_s)
        if not thread.is_alive():
            return True
        self._stream = None  # whoever is in there is not to be disturbed by a second call; stays in reachable
        self._retire()  # or it would go on with the shared state, should it ever come back
        leave_behind()
        return False

    def _retire(self) -> None:
        if self._seen is not None:
            self._seen.retire()


class PlayingStream(DeviceStream):
    """What the streams that play a shared state have in common."""

    _control: CallbackControl

    @property
    def clock(self) -> NDArray[np.int64]:
        """Where the frames asked for stand in time, see `CallbackControl`."""
        return self._control.clock

    @property
    def delay_s(self) -> float:
        """Seconds by which the output stage delays."""
        return self._control.delay_s


class OutputStream(PlayingStream):
    """Plays a shared state on a device; stereo where the device has two channels, else mono.

    Args:
        shared: what to play; the stream goes on at the shared state's position.
        device_index: PortAudio's number of the device, None for the default one.
        blocksize: frames the callback is asked for at once; 0 lets PortAudio choose, block by block.
        samplerate: in Hz, which the device must take; None: the engine's where it does, else the device's own.
        latency: seconds, or the device's own "low" or "high".
        routes: stems that go elsewhere than to the first two channels; RtsepError where the device has none there.
    """

    def __init__(
        self,
        shared: SharedState,
        device_index: int | None = None,
        blocksize: int = 0,
        samplerate: int | None = None,
        latency: Latency = "high",
        routes: Routes = NO_ROUTES,
    ) -> None:
        super().__init__()
        what, channels, own_rate = self._ask(device_index, "output", routes)

        def prepare(rate: int) -> tuple[Any, CallbackControl]:
            self._control = CallbackControl(shared, channels, rate, routes)
            return stream_callback, self._control

        self._open(
            "output",
            what,
            [SAMPLE_RATE, own_rate] if samplerate is None else [samplerate],
            prepare,
            device=device_index,
            channels=channels,
            blocksize=blocksize,
            latency=latency,
        )

    @property
    def latency_s(self) -> float:
        """Output latency in seconds: the corrector's, if there is one, and what PortAudio reports (measure it)."""
        return self.delay_s + float(self._stream.latency)


class CaptureStream(DeviceStream):
    """Fills the mixture ring of a shared state from a device. Arguments as of `OutputStream`.

    `master`: clock of the output stream, whose pace the captured sound is made to keep.
    """

    capture: CaptureControl

    def __init__(
        self,
        shared: SharedState,
        master: NDArray[np.int64],
        device_index: int | None = None,
        blocksize: int = 0,
    ) -> None:
        super().__init__()
        what, channels, own_rate = self._ask(device_index, "input")

        def prepare(rate: int) -> tuple[Any, CaptureControl]:
            self.capture = CaptureControl(shared, channels, rate, master=master)
            return capture_callback, self.capture

        self._open(
            "input",
            what,
            [SAMPLE_RATE, own_rate],
            prepare,
            device=device_index,
            channels=channels,
            blocksize=blocksize,
            latency="low",
        )

    @property
    def latency_s(self) -> float:
        """Input latency in seconds: the corrector's and what PortAudio reports."""
        return self.capture.delay_s + float(self._stream.latency)


class DuplexStream(PlayingStream):
    """Captures to a shared state and plays it, in one callback: for an input and an output that share a clock.

    Arguments as of `OutputStream`, `devices` and `latency` one for each side, the input first.
    """

    capture: CaptureControl

    def __init__(
        self,
        shared: SharedState,
        devices: tuple[int, int],
        blocksize: int,
        latency: tuple[Latency, Latency],
        routes: Routes = NO_ROUTES,
    ) -> None:
        super().__init__()
        given, taken = self._ask(devices[0], "input"), self._ask(devices[1], "output", routes)

        def prepare(rate: int) -> tuple[Any, CaptureControl]:
            self._control = CallbackControl(shared, taken.channels, rate, routes)
            self.capture = CaptureControl(shared, given.channels, rate, output=self._control)
            return duplex_callback, self.capture

        self._open(
            "duplex",
            f"{given.what} with {taken.what}",
            [SAMPLE_RATE, taken.own_rate],
            prepare,
            device=devices,
            channels=(given.channels, taken.channels),
            blocksize=blocksize,
            latency=latency,
        )

    @property
    def latency_s(self) -> float:
        """Input and output latency in seconds: the correctors' and what PortAudio reports."""
        return self.capture.delay_s + self.delay_s + float(sum(self._stream.latency))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
