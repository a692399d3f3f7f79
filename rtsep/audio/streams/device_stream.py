"""The streams: PortAudio driven by the compiled callbacks."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.callback.capture import CaptureControl, capture_callback, duplex_callback
from rtsep.audio.callback.control import CallbackControl
from rtsep.audio.callback.playback import stream_callback
from rtsep.audio.callback.routing import NO_ROUTES, Routes, channels_needed, check_channels
from rtsep.audio.devices.portaudio import (
    callable_streams,
    checked_sounddevice,
    silence_alsa,
    skip_exit_handler,
    start_detached,
)
from rtsep.errors import RtsepError
from rtsep.shared.state import SharedState
from rtsep.system.priority import lock_memory, native_threads, raise_new_threads
from rtsep.timebase import SAMPLE_RATE

Latency = float | Literal["low", "high"]
INVALID_SAMPLE_RATE = -9997  # PaErrorCode
LARGEST_FACTOR = 8  # between the engine's rate and a device's, which `rtsep.dsp.corrector` can bridge


class _Side(NamedTuple):
    """How to open a device. `what`: its name and purpose, for messages; `own_rate`: its default, in Hz."""

    what: str
    channels: int
    own_rate: int


class DeviceStream:
    """A PortAudio stream with a compiled callback: the base of the streams below.

    Raises RtsepError: no PortAudio, an unsupported sounddevice, no such device, or the device can't be opened.

    Attributes:
        samplerate: in Hz, as opened.
    """

    samplerate = SAMPLE_RATE

    def __init__(self) -> None:
        self._sounddevice = checked_sounddevice()
        self._stream: Any = None
        self._threads_before = native_threads()
        self._callback_control: CallbackControl | CaptureControl | None = None
        silence_alsa()

    def _open(
        self,
        kind: str,
        what: str,
        rates: list[int],
        prepare: Callable[[int], tuple[Any, CallbackControl | CaptureControl]],
        **settings: Any,
    ) -> None:
        """Open the stream at the first of `rates` that the device accepts.

        `what`: device and purpose, for the error message. `prepare` returns callback and control for a rate.
        """
        sounddevice = self._sounddevice
        foreign = sounddevice._ffi
        for rate in rates:
            if not 1 / LARGEST_FACTOR <= rate / SAMPLE_RATE <= LARGEST_FACTOR:
                least, most = SAMPLE_RATE // LARGEST_FACTOR, SAMPLE_RATE * LARGEST_FACTOR
                raise RtsepError(f"cannot open {what}: its rate is {rate} Hz, expected {least} to {most} Hz")
            callback, self._callback_control = prepare(rate)
            callable_streams.add(self)
            try:
                self._stream = sounddevice._StreamBase(
                    kind=kind,
                    dtype="float32",
                    samplerate=rate,
                    clip_off=True,  # our limiter has done it, and with dithering off the samples arrive as they are
                    dither_off=True,
                    callback=foreign.cast("PaStreamCallback *", callback.address),
                    userdata=foreign.cast("void *", self._callback_control.fields.ctypes.data),
                    **settings,
                )
                self.samplerate = rate
                return
            except (sounddevice.PortAudioError, ValueError) as error:
                callable_streams.discard(self)
                if rate == rates[-1] or INVALID_SAMPLE_RATE not in error.args:
                    raise RtsepError(f"cannot open {what}: {_first_line(error)}") from error

    def _query(self, device_index: int | None, kind: Literal["input", "output"], routes: Routes = NO_ROUTES) -> _Side:
        """Return how to open the device: with two channels where it has two, with more if `routes` need them."""
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
        """Start calling the callback."""
        if self._stream is None:
            raise ValueError("the stream is closed")
        try:
            self._stream.start()
        except self._sounddevice.PortAudioError as error:
            raise RtsepError(f"cannot start the audio stream: {_first_line(error)}") from error
        raise_new_threads(self._threads_before)
        lock_memory()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Stop after PortAudio has played what it has.

        Returns:
            True when stopped; False when PortAudio didn't return in time. The stream is then abandoned: its memory is
            kept until the process ends, and another one may be opened.
        """
        return self._stream is None or self._within(timeout_s, self._stream.stop)

    def close(self, timeout_s: float = 2.0) -> bool:
        """Close at once, without playing what is left. Idempotent; the result is as of `stop`."""
        stream = self._stream
        if stream is None:
            return True

        def abort_and_close() -> None:
            stream.abort()  # closing an active stream hangs in some PortAudio versions
            stream.close()

        self._disable()
        done = self._within(timeout_s, abort_and_close)
        if done:
            self._stream = None
            callable_streams.discard(self)
        return done

    def _within(self, timeout_s: float, action: Callable[[], object]) -> bool:
        thread = start_detached(action)
        thread.join(timeout_s)
        if not thread.is_alive():
            return True
        self._stream = None  # no second call while one is inside PortAudio; it stays in callable_streams
        self._disable()  # or it would use the shared state again, should PortAudio ever return
        skip_exit_handler()
        return False

    def _disable(self) -> None:
        if self._callback_control is not None:
            self._callback_control.disable()


class PlayingStream(DeviceStream):
    """A stream that plays a shared state."""

    _control: CallbackControl

    @property
    def clock(self) -> NDArray[np.int64]:
        """When the frames requested so far pass the converter, see `CallbackControl`."""
        return self._control.clock

    @property
    def delay_s(self) -> float:
        """Delay of the output stage, in seconds."""
        return self._control.delay_s


class OutputStream(PlayingStream):
    """Plays a shared state on a device; stereo where the device has two channels, else mono.

    Args:
        shared: what to play, from its position on.
        device_index: PortAudio's number of the device, None for the default one.
        blocksize: frames a callback; 0 lets PortAudio choose, block by block.
        samplerate: in Hz, which the device must accept; None: the engine's if it does, else the device's own.
        latency: seconds, or the device's own "low" or "high".
        routes: stems that go to other channels than the first two; RtsepError if the device doesn't have them.
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
        what, channels, own_rate = self._query(device_index, "output", routes)

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
        """Output latency in seconds: the corrector's, if any, and what PortAudio reports (often wrong: measure it)."""
        return self.delay_s + float(self._stream.latency)


class CaptureStream(DeviceStream):
    """Fills the mixture ring of a shared state from a device. Arguments as of `OutputStream`.

    `master`: clock of the output stream, to which the captured sound is resampled.
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
        what, channels, own_rate = self._query(device_index, "input")

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
    """Captures to a shared state and plays it in one callback, for an input and an output that share a clock.

    Arguments as of `OutputStream`; `devices` and `latency` are pairs, the input first.
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
        source, target = self._query(devices[0], "input"), self._query(devices[1], "output", routes)

        def prepare(rate: int) -> tuple[Any, CaptureControl]:
            self._control = CallbackControl(shared, target.channels, rate, routes)
            self.capture = CaptureControl(shared, source.channels, rate, output=self._control)
            return duplex_callback, self.capture

        self._open(
            "duplex",
            f"{source.what} with {target.what}",
            [SAMPLE_RATE, target.own_rate],
            prepare,
            device=devices,
            channels=(source.channels, target.channels),
            blocksize=blocksize,
            latency=latency,
        )

    @property
    def latency_s(self) -> float:
        """Input and output latency in seconds: the correctors' and what PortAudio reports."""
        return self.capture.delay_s + self.delay_s + float(sum(self._stream.latency))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
