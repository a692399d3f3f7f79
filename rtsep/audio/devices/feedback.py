"""Whether a sound that is played would come back through the microphone, judged by what the devices are called.

Nobody can know what hangs on a socket; the names are all there is. Two devices are one piece of hardware when PortAudio
lists them as one, or when their names are the same but for the words that tell input from output ("Microphone (Realtek
Audio)" and "Speakers (Realtek Audio)"), as far as both are told where a name was cut short. Of those an input is
harmless that is no microphone: a monitor or loop-back of what the system plays, a virtual cable, a line-in; and so is
an output that calls itself headphones.
"""

import re

from rtsep.audio.devices.discovery import CUT_AT, Device

_NO_MICROPHONE = re.compile(
    r"monitor|loop-?back|stereo ?mix|what u hear|wave out mix|blackhole|soundflower|\bcable\b|vb-audio|voicemeeter"
    r"|virtual|\bline\b|\bnull\b|s/?pdif|digital in|\baux\b",
    re.IGNORECASE,
)
_HEADPHONES = re.compile(r"head-?phones?|head-?set|ear-?phones?|ear-?buds?|air-?pods|kopfhörer", re.IGNORECASE)
_DIRECTION = re.compile(r"microphones?|mic|array|speakers?|loudspeakers?|inputs?|outputs?|in|out", re.IGNORECASE)


def may_feed_back(given: Device, taken: Device) -> bool:
    """Whether `given` is likely a microphone that hears `taken`, its own device's loudspeakers."""
    if _NO_MICROPHONE.search(given.name) or _HEADPHONES.search(taken.name):
        return False
    return given.index == taken.index or _same_hardware(given, taken)


def _same_hardware(given: Device, taken: Device) -> bool:
    core, other = (" ".join(_words(device.name)) for device in (given, taken))
    if not core or not other:
        return False
    return (
        core == other
        or (len(given.name) == CUT_AT and other.startswith(core))
        or (len(taken.name) == CUT_AT and core.startswith(other))
    )


def _words(name: str) -> list[str]:
    """The words of a name without those that tell its direction."""
    return [word for word in re.split(r"[\s():,]+", name.casefold()) if word and not _DIRECTION.fullmatch(word)]
