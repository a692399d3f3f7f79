"""Spoken lines from espeak-ng, with the start time of each speech sound.

The command line tool does not tell those moments, so its library is called directly.
"""

import ctypes
from dataclasses import dataclass

import numpy as np

LIBRARY = "libespeak-ng.so.1"
VOICE = "en-us+f2"
WORDS_A_MINUTE = 125
# Values of speak_lib.h.
AUDIO_SYNCHRONOUS = 2
INITIALIZE_PHONEME_EVENTS = 1
EVENT_END, EVENT_PHONEME = 0, 7
RATE, PITCH, RANGE = 1, 3, 4
CHARS_UTF8 = 1


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Phoneme:
    name: str
    start_s: float
    end_s: float

    @property
    def is_vowel(self) -> bool:
        return self.name[0] in "aAeEiIoOuUV@03"

    @property
    def is_glide(self) -> bool:
        """A diphthong: the colour moves towards its end."""
        return self.name in ("eI", "aI", "oU", "aU", "OI")

    @property
    def is_pause(self) -> bool:
        return self.name.startswith("_")

    @property
    def is_voiceless(self) -> bool:
        return self.name[0] in "ptkfsSTh"

    @property
    def is_sonorant(self) -> bool:
        return self.is_vowel or self.name[0] in "mnNlrwj"


class Speaker:
    """One espeak-ng voice on one pitch, which makes its spectral envelope easy to find."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY)
        self.rate_hz = self._library.espeak_Initialize(AUDIO_SYNCHRONOUS, 0, None, INITIALIZE_PHONEME_EVENTS)
        if self.rate_hz <= 0:
            raise SystemExit("espeak-ng does not start: install the Debian package espeak-ng-data")
        self._sound: list[np.ndarray] = []
        self._marks: list[tuple[str, int]] = []
        self._callback = _SynthCallback(self._collect)  # kept: the library goes on calling it
        self._library.espeak_SetSynthCallback(self._callback)
        if self._library.espeak_SetVoiceByName(VOICE.encode()):
            raise SystemExit(f"espeak-ng has no voice {VOICE}: install the Debian package espeak-ng-data")
        for parameter, value in ((RATE, WORDS_A_MINUTE), (PITCH, 60), (RANGE, 0)):
            self._library.espeak_SetParameter(parameter, value, 0)

    def _collect(self, wave: "ctypes._Pointer[ctypes.c_short]", samples: int, events: "ctypes._Pointer[_Event]") -> int:
        if wave and samples:
            self._sound.append(np.ctypeslib.as_array(wave, (samples,)).copy())
        i = 0
        while events[i].type != EVENT_END:
            if events[i].type == EVENT_PHONEME:
                self._marks.append((events[i].id.string.decode(), events[i].sample))
            i += 1
        return 0

    def say(self, text: str) -> tuple[np.ndarray, list[Phoneme]]:
        self._sound.clear()
        self._marks.clear()
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        sound = np.concatenate(self._sound) / 32768.0
        ends = [start for _, start in self._marks[1:]] + [len(sound)]
        phonemes = [
            Phoneme(name, start / self.rate_hz, end / self.rate_hz)
            for (name, start), end in zip(self._marks, ends, strict=True)
            if end > start
        ]
        return sound, phonemes
