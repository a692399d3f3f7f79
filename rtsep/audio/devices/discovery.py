"""Sound devices as PortAudio lists them, found by index, by exact name or by a unique part of it.

Windows lists every device once for each of its host APIs, MME, DirectSound, WASAPI and WDM-KS: under the same name,
cut short (MME) or under another one (WDM-KS). WASAPI's is preferred, for input and output alike.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from rtsep.errors import RtsepError

Direction = Literal["input", "output"]
CUT_AT = 31
"""Characters to which MME cuts names: one as long may be incomplete."""
PREFERRED_API = "WASAPI"
_SHARED_MEMORY = Path("/dev/shm")
_SHARED_BYTES = 256 * 1024
"""JACK's library, which PortAudio loads, ends the process with a bus error where it finds less (64 KiB are too few)."""


@dataclass(frozen=True, slots=True)
class Device:
    """A sound device. `inputs` and `outputs`: its channels at most; `index`: PortAudio's."""

    index: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    default_samplerate: float
    is_default_input: bool
    is_default_output: bool

    def serves(self, kind: Direction) -> bool:
        """Whether it can record ("input") or play ("output")."""
        return (self.inputs if kind == "input" else self.outputs) > 0


def load_sounddevice() -> ModuleType:
    """The sounddevice module; RtsepError with the remedy where the PortAudio library is missing or broken."""
    if "sounddevice" not in sys.modules and _SHARED_MEMORY.is_dir():
        free_bytes = shutil.disk_usage(_SHARED_MEMORY).free
        if free_bytes < _SHARED_BYTES:
            raise RtsepError(
                f"{_SHARED_MEMORY} has {free_bytes // 1024} KiB free, PortAudio needs {_SHARED_BYTES // 1024} KiB: "
                "free some space or enlarge it (containers: --shm-size=64m)"
            )
    try:
        import sounddevice
    except OSError as error:
        raise RtsepError(
            "the PortAudio library is missing, so sound devices can't be used; Debian and Ubuntu: "
            "apt-get install libportaudio2 (on macOS and Windows it comes with sounddevice)"
        ) from error
    except ImportError as error:
        raise RtsepError(f"sounddevice can't be imported ({error}); run pip install sounddevice") from error
    return sounddevice


def list_devices() -> list[Device]:
    """All devices in PortAudio's order, [] if there is none. RtsepError without a PortAudio library."""
    sounddevice = load_sounddevice()
    try:
        apis = sounddevice.query_hostapis()
        found = sounddevice.query_devices()
        default_input, default_output = _defaults(sounddevice)
    except sounddevice.PortAudioError as error:
        raise RtsepError(f"PortAudio can't list the sound devices: {_text(error)}") from error
    return [
        Device(
            index=int(entry["index"]),
            name=str(entry["name"]),
            host_api=str(apis[entry["hostapi"]]["name"]),
            inputs=int(entry["max_input_channels"]),
            outputs=int(entry["max_output_channels"]),
            default_samplerate=float(entry["default_samplerate"]),
            is_default_input=int(entry["index"]) == default_input,
            is_default_output=int(entry["index"]) == default_output,
        )
        for entry in found
    ]


def find_device(wanted: str | int | None = None, kind: Direction = "output") -> Device:
    """The device that a user names: None is the default one, else its index, its name, or a part of one name only.

    A name may be followed by a comma and a part of its host API's. Case matters only between two exact names.
    RtsepError when nothing or several match, with a list of them.
    """
    devices = list_devices()
    able = [device for device in devices if device.serves(kind)]
    if not able:
        raise RtsepError(f"no sound {kind} device found; rtsep devices lists what PortAudio finds")
    if wanted is None:
        default = next((device for device in able if getattr(device, f"is_default_{kind}")), able[0])
        again = _preferred([device for device in able if _same_name(device, default)], able, kind)
        return again[0] if len(again) == 1 else default
    if isinstance(wanted, int) or wanted.strip().isdecimal():
        return _by_index(int(wanted), devices, kind)
    return _by_name(wanted.strip(), able, kind)


def find_again(device: Device, kind: Direction = "output") -> Device:
    """The same device, by name and host API, in PortAudio's present list; RtsepError if it is missing."""
    for found in list_devices():
        if (found.name, found.host_api) == (device.name, device.host_api) and found.serves(kind):
            return found
    raise RtsepError(f'sound device "{device.name}" not found')


def _defaults(sounddevice: ModuleType) -> tuple[int, int]:
    """PortAudio's default devices (input, output), −1 for none."""
    chosen = []
    for kind in ("input", "output"):
        try:
            chosen.append(int(sounddevice.query_devices(kind=kind)["index"]))
        except (sounddevice.PortAudioError, ValueError):
            chosen.append(-1)
    return chosen[0], chosen[1]


def _by_index(index: int, devices: list[Device], kind: Direction) -> Device:
    for device in devices:
        if device.index == index:
            if not device.serves(kind):
                raise RtsepError(f'device {index} ("{device.name}") has no {kind}s; {_choice(devices, kind)}')
            return device
    raise RtsepError(f"no device {index}; {_choice(devices, kind)}")


def _by_name(wanted: str, able: list[Device], kind: Direction) -> Device:
    name, _, api = (part.strip() for part in wanted.rpartition(","))
    of_api = [device for device in able if api and api.casefold() in device.host_api.casefold()]
    found = _called(wanted, able) or _called(name, of_api)
    meant = _preferred(found, able, kind)
    if not found:
        raise RtsepError(f'no {kind} device is called "{wanted}"; {_choice(able, kind)}')
    if len(meant) > 1:
        raise RtsepError(f'"{wanted}" matches several devices; use a longer name or an index: {_list(meant)}')
    return meant[0]


def _called(wanted: str, devices: list[Device]) -> list[Device]:
    """Those with exactly that name; else those with it in another case; else those with it as a part."""
    rules = (
        lambda name: name == wanted,
        lambda name: name.casefold() == wanted.casefold(),
        lambda name: wanted.casefold() in name.casefold(),
    )
    found = ([device for device in devices if matches(device.name)] for matches in rules if wanted)
    return next(filter(None, found), [])


def _preferred(found: list[Device], able: list[Device], kind: Direction) -> list[Device]:
    """Those of `found` that remain when one device under several host APIs counts once."""
    meant = [device for device in found if PREFERRED_API in device.host_api] or found
    if all(_same_name(device, meant[0]) for device in meant):
        default_apis = {device.host_api for device in able if getattr(device, f"is_default_{kind}")}
        return [device for device in meant if device.host_api in default_apis] or meant
    return meant


def _same_name(device: Device, other: Device) -> bool:
    short, long = sorted((device.name, other.name), key=len)
    return short == long or (len(short) == CUT_AT and long.startswith(short))


def _choice(devices: list[Device], kind: Direction) -> str:
    return f"available: {_list([device for device in devices if device.serves(kind)])}"


def _list(devices: list[Device]) -> str:
    return ", ".join(f"{device.index} {device.name} ({device.host_api})" for device in devices) or "none"


def _text(error: Exception) -> str:
    return str(error.args[0]) if error.args else type(error).__name__
