"""PortAudio as a whole, through the private parts of sounddevice that we need.

`sounddevice._StreamBase` (meant for "library authors") takes a C function pointer instead of a Python function, so that
no Python runs in the audio thread. sounddevice doesn't promise to keep it; hence the version check.

PortAudio keeps raw addresses. Everything that they point to is referenced from `callable_streams`, from before a stream
opens until PortAudio has closed it; a stream whose close never returns (PulseAudio's server died, say) keeps its memory
until the process ends.
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

OLDEST, BELOW = (0, 5), (0, 6)  # sounddevice versions that are known to work

callable_streams: set[object] = set()
"""The streams that PortAudio may still call."""
_rescanning: threading.Thread | None = None


# snd_lib_error_handler_t, whose further, variadic arguments Linux's calling conventions let one leave alone. Compiled,
# because it is called in the audio thread.
@c_callback(types.void(types.voidptr, types.int32, types.voidptr, types.int32, types.voidptr))
def _ignore_error(file, line, function, error, text):  # type: ignore[no-untyped-def]
    pass


def silence_alsa() -> None:
    """Keep ALSA from writing "underrun occurred" to stderr; the callback counts late blocks itself."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(ctypes.c_void_p(_ignore_error.address))
        except (OSError, AttributeError):
            pass  # another kind of PortAudio


def checked_sounddevice() -> ModuleType:
    """Return the sounddevice module; RtsepError if it is missing or of a version that isn't known to work."""
    sounddevice = load_sounddevice()
    version = sounddevice.__version__
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if not OLDEST <= number < BELOW or not hasattr(sounddevice, "_StreamBase"):
        fitting = f"sounddevice>={OLDEST[0]}.{OLDEST[1]},<{BELOW[0]}.{BELOW[1]}"
        raise RtsepError(f'sounddevice {version} is not supported; run pip install "{fitting}"')
    return sounddevice


def start_detached(action: Callable[[], object]) -> threading.Thread:
    """Run `action` in a daemon thread: a call into PortAudio can't be cancelled, only abandoned."""
    thread = threading.Thread(target=action, name="rtsep-portaudio", daemon=True)
    thread.start()
    return thread


def rescan(timeout_s: float = 5.0) -> None:
    """Refresh PortAudio's list of devices, which is made when it is initialised.

    Does nothing while a stream is open or was abandoned: that would end with PortAudio, or block it.

    Raises:
        RtsepError: no PortAudio, an unsupported sounddevice, or PortAudio doesn't return in time, now or the last time.
    """
    global _rescanning
    sounddevice = checked_sounddevice()
    if callable_streams:
        return

    def start_again() -> None:
        with contextlib.suppress(sounddevice.PortAudioError):  # listing the devices will show it
            while sounddevice._initialized:
                sounddevice._terminate()
            sounddevice._initialize()

    if _rescanning is None or not _rescanning.is_alive():
        _rescanning = start_detached(start_again)
        _rescanning.join(timeout_s)
    if _rescanning.is_alive():
        skip_exit_handler()
        raise RtsepError("PortAudio stopped responding: restart the sound server")


def skip_exit_handler() -> None:
    """Don't let sounddevice call PortAudio at exit: where PortAudio hangs, so would the exit."""
    atexit.unregister(checked_sounddevice()._exit_handler)
