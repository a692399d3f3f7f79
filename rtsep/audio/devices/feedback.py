"""Whether an input would pick up an output, judged by the names of the two devices.

Nobody can know what is connected to a socket; the names are all there is. Two devices are the same hardware when
PortAudio lists them as one, or when their names are equal but for the words that tell input from output ("Microphone
(Realtek Audio)" and "Speakers (Realtek Audio)"), as far as both are known where a name was cut short. Then

* an input that records what its own device plays is a loop for certain: a monitor, a loop-back, a virtual cable;
* a line input is harmless, and so is an output that calls itself headphones;
* anything else is likely a microphone that hears the loudspeakers.

The names behind the defaults of a sound server count too. What no name reveals, `rtsep.player.feedback_guard` hears.
"""

import re
from itertools import product

from rtsep.audio.devices.discovery import CUT_AT, Device, Direction
from rtsep.audio.devices.sound_server import SOUND_SERVERS, server_default

_MONITOR = re.compile(  # what a system calls the recording of an output, in some languages
    r"^monit(?:or|eur)\s+(?:of|von|der|des|de|di|du|do|van|av|för|for|til)\s+|[._\s]monitor\b|[\[(]?loop-?back[\])]?"
    r"|ste?reo ?mix|mixage st[ée]r[ée]o|what u hear|wave out mix",
    re.IGNORECASE,
)
_VIRTUAL = re.compile(r"blackhole|soundflower|\bcable\b|vb-audio|voicemeeter|virtual", re.IGNORECASE)
_LINE = re.compile(r"monitor|\bline\b|\bnull\b|s/?pdif|digital in|\baux\b", re.IGNORECASE)
_HEADPHONES = re.compile(r"head-?phones?|head-?set|ear-?phones?|ear-?buds?|air-?pods|kopfhörer", re.IGNORECASE)
_DIRECTION = re.compile(r"microphones?|mic|array|speakers?|loudspeakers?|inputs?|outputs?|in|out", re.IGNORECASE)
_NOT_HARDWARE = f"{_MONITOR.pattern}|{_HEADPHONES.pattern}"
_ALOOP = re.compile(r"loopback.*\(hw:(\d+),(\d+)\)", re.IGNORECASE)


def feedback_risk(input: Device, output: Device) -> str | None:
    """One line that says why the two devices would cause feedback; None if nothing suggests that they would."""
    is_one = input.index == output.index
    sources, sinks = _names(input, "input"), _names(output, "output")
    if any(_records(*names) for names in product(sources, sinks)) or (is_one and is_virtual_cable(input.name)):
        return f'"{input.name}" records what "{output.name}" plays, which is a feedback loop'
    if any(_MONITOR.search(name) or _VIRTUAL.search(name) or _LINE.search(name) for name in sources):
        return None
    if _HEADPHONES.search(output.name) or not (is_one or _same_hardware(input.name, output.name)):
        return None
    return f'"{input.name}" would pick up "{output.name}" and cause feedback'


def _names(device: Device, kind: Direction) -> list[str]:
    """All that a device is known by."""
    default = server_default(kind) if device.name in SOUND_SERVERS else None
    return [device.name] if default is None else [device.name, default]


def is_virtual_cable(name: str) -> bool:
    """Whether a device gives back what is played to it; Linux's loop-back card gives it at its other end."""
    return bool(_MONITOR.search(name) or _VIRTUAL.search(name)) and not _ALOOP.search(name)


def _records(source: str, sink: str) -> bool:
    """Whether the input `source` is a recording of what is played on `sink`."""
    ends = _ALOOP.search(source), _ALOOP.search(sink)
    if ends[0] and ends[1]:
        return ends[0][1] == ends[1][1] and ends[0][2] != ends[1][2]
    if not (_MONITOR.search(source) or _VIRTUAL.search(source)):
        return False
    recorded = _MONITOR.sub(" ", source).strip()
    return recorded.casefold() == sink.casefold() or _same_hardware(source, sink, _NOT_HARDWARE)


def _same_hardware(source: str, sink: str, ignored: str = r"^$") -> bool:
    """Whether the names are equal but for their direction and what the pattern `ignored` matches."""
    core, other = (" ".join(_words(re.sub(ignored, " ", name, flags=re.IGNORECASE))) for name in (source, sink))
    if not core or not other:
        return False
    return (
        core == other
        or (len(source) == CUT_AT and other.startswith(core))
        or (len(sink) == CUT_AT and core.startswith(other))
    )


def _words(name: str) -> list[str]:
    """The words of a name without those that tell its direction."""
    return [word for word in re.split(r"[\s():,]+", name.casefold()) if word and not _DIRECTION.fullmatch(word)]
