"""The streams: PortAudio driven by the compiled callbacks.

This is the one door to `sounddevice._StreamBase`, the part of sounddevice (meant for "library authors") that
takes a C function pointer instead of a Python function, so that no Python runs in the audio thread. It is not
covered by sounddevice's compatibility promise; hence the version check.

PortAudio keeps raw addresses. Everything they lead to is referenced from a module-level set from before the
stream opens until PortAudio has said that it is closed; a stream whose close never returns (PulseAudio's server
died, say) keeps its memory until the process ends.
"""

import atexit
import ctypes
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

from numba import cfunc, types

from rtsep.audio.callback import CallbackControl, stream_callback
from rtsep.audio.capture import CaptureControl, capture_callback, duplex_callback
from rtsep.audio.devices import load_sounddevice
from rtsep.audio.stamps import Stamp, read_stamp
from rtsep.dsp.compiled import FLAGS
from rtsep.dsp.deck import Deck
from rtsep.errors import RtsepError

OLDEST, BELOW = (0, 5), (0, 6)  # sounddevice versions this door is known to fit

Latency = float | Literal["low", "high"]

_reachable: set["DeviceStream"] = set()


# snd_lib_error_handler_t, whose further, variadic arguments Linux's calling conventions let one leave alone. Compiled,
# because it is called in the audio thread.
@cfunc(types.void(types.voidptr, types.int32, types.voidptr, types.int32, types.voidptr), cache=True, **FLAGS)
def _say_nothing(file, line, function, error, text):  # type: ignore[no-untyped-def]
    pass


def _silence_alsa() -> None:
    """Keep ALSA from writing "underrun occurred" to stderr, over the status line; the callback counts what is late."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(ctypes.c_void_p(_say_nothing.address))
        except (OSError, AttributeError):
            pass  # another kind of PortAudio


def _checked_sounddevice() -> ModuleType:
    """Return sounddevice, sure that it is one whose inner parts we know; else RtsepError."""
    sounddevice = load_sounddevice()
    version = sounddevice.__version__
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if not OLDEST <= number < BELOW or not hasattr(sounddevice, "_StreamBase"):
        fitting = f"sounddevice>={OLDEST[0]}.{OLDEST[1]},<{BELOW[0]}.{BELOW[1]}"
        raise RtsepError(f'sounddevice {version} is not one this player knows: pip install "{fitting}"')
    return sounddevice


class DeviceStream:
    """A PortAudio stream with a compiled callback; what the kinds of streams below have in common.

    Raises RtsepError: no PortAudio, an unknown sounddevice, no such device, or the device refuses.
    """

    def __init__(self) -> None:
        self._sounddevice = _checked_sounddevice()
        self._stream: Any = None
        _silence_alsa()

    def _open(self, kind: str, what: str, callback: Any, userdata: Any, **settings: Any) -> None:
        """Open it; `what` names device and purpose for the one line that says why not."""
        sounddevice = self._sounddevice
        _reachable.add(self)
        foreign = sounddevice._ffi
        try:
            self._stream = sounddevice._StreamBase(
                kind=kind,
                dtype="float32",
                clip_off=True,  # our limiter has done it, and with dithering off the samples arrive as they are
                dither_off=True,
                callback=foreign.cast("PaStreamCallback *", callback.address),
                userdata=foreign.cast("void *", userdata.ctypes.data),
                **settings,
            )
        except (sounddevice.PortAudioError, ValueError) as error:
            _reachable.discard(self)
            raise RtsepError(f"cannot open {what}: {_first_line(error)}") from error

    def _channels(self, device_index: int | None, kind: Literal["input", "output"]) -> int:
        """How many channels to open: two where there are two."""
        try:
            found = self._sounddevice.query_devices(device_index, kind)
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise RtsepError(f"cannot open {_named(device_index, kind)}: {_first_line(error)}") from error
        return min(2, int(found[f"max_{kind}_channels"]))

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

        done = self._within(timeout_s, abort_and_close)
        if done:
            self._stream = None
            _reachable.discard(self)
        return done

    def _within(self, timeout_s: float, action: Callable[[], object]) -> bool:
        # A daemon thread: the call into PortAudio cannot be cancelled, only left behind.
        thread = threading.Thread(target=action, name="rtsep-portaudio", daemon=True)
        thread.start()
        thread.join(timeout_s)
        if not thread.is_alive():
            return True
        self._stream = None  # whoever is in there is not to be disturbed by a second call; stays in _reachable
        # sounddevice would call Pa_Terminate at exit, which closes all streams and would hang the same way.
        atexit.unregister(self._sounddevice._exit_handler)
        return False


class OutputStream(DeviceStream):
    """Plays a deck on a device; stereo where the device has two channels, else mono.

    Args:
        deck: what to play; the stream goes on at the deck's position.
        device_index: PortAudio's number of the device, None for the default one.
        blocksize: frames the callback is asked for at once; 0 lets PortAudio choose, block by block.
        samplerate: in Hz; the device must take it.
        latency: seconds, or the device's own "low" or "high".
    """

    def __init__(
        self,
        deck: Deck,
        device_index: int | None = None,
        blocksize: int = 0,
        samplerate: int = 44100,
        latency: Latency = "high",
    ) -> None:
        super().__init__()
        channels = self._channels(device_index, "output")
        self._control = CallbackControl(deck, channels)
        self._open(
            "output",
            _named(device_index, "output"),
            stream_callback,
            self._control.words,
            device=device_index,
            channels=channels,
            samplerate=samplerate,
            blocksize=blocksize,
            latency=latency,
        )

    @property
    def latency_s(self) -> float:
        """Output latency in seconds as PortAudio reports it (its word; measure it by loop-back)."""
        return float(self._stream.latency)

    @property
    def stamp(self) -> Stamp | None:
        """When which position leaves the device; None while nothing is played."""
        return read_stamp(self._control.stamp)


class CaptureStream(DeviceStream):
    """Fills the mixture ring of a deck from a device. Arguments as of `OutputStream`."""

    def __init__(
        self, deck: Deck, device_index: int | None = None, blocksize: int = 0, latency: Latency = "low"
    ) -> None:
        super().__init__()
        channels = self._channels(device_index, "input")
        self.capture = CaptureControl(deck, channels)
        self._open(
            "input",
            _named(device_index, "input"),
            capture_callback,
            self.capture.words,
            device=device_index,
            channels=channels,
            samplerate=44100,
            blocksize=blocksize,
            latency=latency,
        )

    @property
    def latency_s(self) -> float:
        """Input latency in seconds as PortAudio reports it."""
        return float(self._stream.latency)


class DuplexStream(DeviceStream):
    """Captures to a deck and plays it, in one callback: for an input and an output that share a clock."""

    def __init__(self, deck: Deck, devices: tuple[int, int], blocksize: int = 0, latency: Latency = "low") -> None:
        super().__init__()
        channels = self._channels(devices[0], "input"), self._channels(devices[1], "output")
        self._control = CallbackControl(deck, channels[1])
        self.capture = CaptureControl(deck, channels[0], self._control)
        self._open(
            "duplex",
            f"{_named(devices[0], 'input')} with {_named(devices[1], 'output')}",
            duplex_callback,
            self.capture.words,
            device=devices,
            channels=channels,
            samplerate=44100,
            blocksize=blocksize,
            latency=latency,
        )

    @property
    def latency_s(self) -> float:
        """Input and output latency in seconds as PortAudio reports them."""
        return float(sum(self._stream.latency))

    @property
    def stamp(self) -> Stamp | None:
        """When which position leaves the device; None while nothing is played."""
        return read_stamp(self._control.stamp)


def _named(device_index: int | None, kind: str) -> str:
    which = f"the default {kind}" if device_index is None else f"device {device_index}"
    return f"{which} for {'playing' if kind == 'output' else 'recording'}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
