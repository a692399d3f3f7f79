"""The one door to sounddevice's inner parts, and what must be done once for the whole of PortAudio.

`sounddevice._StreamBase`, the part of sounddevice (meant for "library authors") that takes a C function pointer instead
of a Python function, so that no Python runs in the audio thread, is not covered by sounddevice's compatibility
promise; hence the version check.

PortAudio keeps raw addresses. Everything they lead to is referenced from `reachable` from before a stream opens until
PortAudio has said that it is closed; a stream whose close never returns (PulseAudio's server died, say) keeps its
memory until the process ends.
"""

import atexit
import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable
from types import ModuleType

from numba import types

from rtsep.audio.devices.discovery import load_sounddevice
from rtsep.errors import RtsepError
from rtsep.shared.compiled import c_callback

OLDEST, BELOW = (0, 5), (0, 6)  # sounddevice versions this door is known to fit

reachable: set[object] = set()
"""The streams that PortAudio may still call."""
_rescanning: threading.Thread | None = None


# snd_lib_error_handler_t, whose further, variadic arguments Linux's calling conventions let one leave alone. Compiled,
# because it is called in the audio thread.
@c_callback(types.void(types.voidptr, types.int32, types.voidptr, types.int32, types.voidptr))
def _say_nothing(file, line, function, error, text):  # type: ignore[no-untyped-def]
    pass


def silence_alsa() -> None:
    """Keep ALSA from writing "underrun occurred" to stderr, over the status line; the callback counts what is late."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(ctypes.c_void_p(_say_nothing.address))
        except (OSError, AttributeError):
            pass  # another kind of PortAudio


def checked_sounddevice() -> ModuleType:
    """Return sounddevice, sure that it is one whose inner parts we know; else RtsepError."""
    sounddevice = load_sounddevice()
    version = sounddevice.__version__
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if not OLDEST <= number < BELOW or not hasattr(sounddevice, "_StreamBase"):
        fitting = f"sounddevice>={OLDEST[0]}.{OLDEST[1]},<{BELOW[0]}.{BELOW[1]}"
        raise RtsepError(f'sounddevice {version} is not one this player knows: pip install "{fitting}"')
    return sounddevice


def left_alone(action: Callable[[], object]) -> threading.Thread:
    """A daemon thread that does it: a call into PortAudio cannot be cancelled, only left behind."""
    thread = threading.Thread(target=action, name="rtsep-portaudio", daemon=True)
    thread.start()
    return thread


def rescan(timeout_s: float = 5.0) -> None:
    """Let PortAudio look for devices anew: its list is from when it was initialised.

    Does nothing while a stream is open or was given up, since it would go with PortAudio or keep it.

    Raises:
        RtsepError: no PortAudio, an unknown sounddevice, or PortAudio does not come back in time, now or the last time.
    """
    global _rescanning
    sounddevice = checked_sounddevice()
    if reachable:
        return

    def start_again() -> None:
        with contextlib.suppress(sounddevice.PortAudioError):  # shows when devices are listed
            while sounddevice._initialized:
                sounddevice._terminate()
            sounddevice._initialize()

    if _rescanning is None or not _rescanning.is_alive():
        _rescanning = left_alone(start_again)
        _rescanning.join(timeout_s)
    if _rescanning.is_alive():
        leave_behind()
        raise RtsepError("PortAudio does not answer")


def leave_behind() -> None:
    """PortAudio hangs: do not call it at exit, as sounddevice would, to close all streams and hang the same way."""
    atexit.unregister(checked_sounddevice()._exit_handler)
