"""The song "Paper Boats" as data: form, chords, words, melody and patterns. This module generates no sound.

Beats count from 0 inside a bar. Patterns have one character a sixteenth note, sixteen a bar.
"""

import re
from dataclasses import dataclass

TITLE = "Paper Boats"
SAMPLE_RATE_HZ = 44_100
TEMPO_BPM = 106.0
BEATS_PER_BAR = 4
RING_BEATS = 2  # how much longer than its bar the last chord lasts
BEAT_S = 60.0 / TEMPO_BPM
BAR_S = BEATS_PER_BAR * BEAT_S
SONG_S = 39.4  # 16 bars and the last chord ringing out


@dataclass(frozen=True)
class Section:
    name: str
    first_bar: int
    chords: tuple[str, ...]  # one a bar
    drums: tuple[str, ...]  # keys of DRUMS, one a bar
    bass: str  # key of BASS
    guitar: str  # key of GUITAR
    words: str = ""  # key of WORDS; empty where nobody sings

    @property
    def start_s(self) -> float:
        return self.first_bar * BAR_S

    @property
    def end_s(self) -> float:
        return min(SONG_S, (self.first_bar + len(self.chords)) * BAR_S)


FORM = (
    Section("intro", 0, ("G", "Cadd9"), ("intro", "pickup"), "sparse", "open"),
    Section("verse", 2, ("Em7", "Cadd9", "G", "D/F#"), ("verse", "verse", "verse", "fill"), "verse", "light",
            "verse"),
    Section("chorus", 6, ("G", "D", "Em7", "Cadd9"), ("crash", "chorus", "chorus", "fill"), "chorus", "full",
            "chorus"),
    Section("break", 10, ("Em7", "D"), ("break", "toms"), "sparse", "open"),
    Section("last chorus", 12, ("G", "D", "Em7", "Cadd9"), ("crash", "chorus", "chorus", "roll"), "chorus",
            "full", "last chorus"),
    Section("ending", 16, ("G",), ("end",), "end", "end"),
)  # fmt: skip

# name: (bass note, keyboard voicing, guitar strings from low to high)
CHORDS = {
    "G": ("G1", "B3 D4 G4", "G2 B2 D3 G3 D4 G4"),
    "Cadd9": ("C2", "C4 D4 G4", "C3 E3 G3 D4 G4"),
    "Em7": ("E1", "B3 D4 G4", "E2 B2 E3 G3 D4 G4"),
    "D": ("D2", "A3 D4 F#4", "D3 A3 D4 F#4"),
    "D/F#": ("F#1", "A3 D4 F#4", "F#2 A2 D3 A3 D4 F#4"),
}


@dataclass(frozen=True)
class Line:
    """One sung line: its words, and for every syllable `name beat pitch length [pitch length ...]`."""

    text: str
    bar: int  # counted from the start of the section
    syllables: tuple[str, ...]


VERSE = (
    Line("Morning paints the window blue", 0, (
        "morn 0 E4 .5", "ing .5 F#4 .5", "paints 1 G4 .5", "the 1.5 G4 .5", "win 2 A4 .5", "dow 2.5 G4 .5",
        "blue 3 E4 .85")),
    Line("coffee cups for me and you", 1, (
        "cof 0 E4 .5", "fee .5 F#4 .5", "cups 1 G4 .5", "for 1.5 G4 .5", "me 2 B4 .5", "and 2.5 A4 .5",
        "you 3 G4 .85")),
    Line("fold a page and let it float", 2, (
        "fold 0 D4 .5", "a .5 E4 .5", "page 1 G4 .5", "and 1.5 G4 .5", "let 2 A4 .5", "it 2.5 G4 .5",
        "float 3 B4 .8")),
    Line("every word a paper boat", 3, (
        "ev 0 A4 .5", "ery .5 A4 .5", "word 1 B4 .5", "a 1.5 A4 .5", "pa 2 G4 .5", "per 2.5 F#4 .5",
        "boat 3 G4 .3 A4 .45")),
)  # fmt: skip
SAIL = (
    Line("Sail away, sail away", 0, (
        "sail 0 D5 .75", "a .75 B4 .25", "way 1 B4 .9", "sail 2 D5 .75", "a 2.75 B4 .25",
        "way 3 B4 .4 A4 .4")),
    Line("carry me over the bay", 1, (
        "car 0 A4 .5", "ry .5 A4 .5", "me 1 B4 .5", "o 1.5 A4 .5", "ver 2 F#4 .5", "the 2.5 G4 .5",
        "bay 3 A4 .85")),
    Line("wind and rain, come what may", 2, (
        "wind 0 B4 .75", "and .75 A4 .25", "rain 1 G4 .9", "come 2 B4 .75", "what 2.75 A4 .25",
        "may 3 G4 .85")),
)  # fmt: skip
WORDS = {
    "verse": VERSE,
    "chorus": (*SAIL, Line("home is not far away", 3, (
        "home 0 C5 .5 B4 .5", "is 1 B4 .5", "not 1.5 A4 .5", "far 2 G4 .5", "a 2.5 A4 .5", "way 3 G4 .9"))),
    "last chorus": (*SAIL, Line("home is one song away", 3, (
        "home 0 C5 .5 B4 .5", "is 1 B4 .5", "one 1.5 A4 .5", "song 2 G4 1", "a 3 A4 1",
        "way 4 B4 .75 A4 .5 G4 2"))),
}  # fmt: skip

# Strength of a stroke by letter; "." is no stroke.
VELOCITIES = {"X": 112, "x": 92, "o": 70, "g": 38}
# General MIDI drum map: the note that each piece of the kit answers to.
KIT = {"kick": 36, "rim": 37, "snare": 38, "hat": 42, "open": 46, "crash": 49, "ride": 51,
       "low tom": 43, "mid tom": 47, "high tom": 50}  # fmt: skip
DRUMS = {
    "intro": {"hat": "x.o.x.o.x.o.x.o.", "rim": "....o.......o..."},
    "pickup": {"hat": "x.o.x.o.x.o.....", "kick": "x.......x.......", "rim": "....o...........",
               "snare": "..........g.ooxX"},
    "verse": {"hat": "x.o.x.o.x.o.x.oo", "kick": "X.....x.x.......", "snare": "....X..g....X..g"},
    "chorus": {"ride": "x.o.x.o.x.o.x.o.", "kick": "X..x..x.X.x...x.", "snare": "....X..g.g..X...",
               "open": "..............x."},
    "crash": {"crash": "X...............", "ride": "..o.x.o.x.o.x.o.", "kick": "X..x..x.X.x...x.",
              "snare": "....X..g.g..X...", "open": "..............o."},
    "fill": {"hat": "x.o.x.o.........", "kick": "X.....x.x.......", "snare": "....X...x.og....",
             "high tom": "..........x.....", "mid tom": "............xx..", "low tom": "..............XX"},
    "break": {"ride": "x...o...x...o...", "kick": "X.......x.......", "rim": "....o..o....o..."},
    "toms": {"hat": "x.o.x.o.........", "kick": "X.......x.......", "rim": "....o...........",
             "high tom": "........x.o.....", "mid tom": "............x...", "low tom": "..............Xx",
             "crash": "..............g."},
    "roll": {"ride": "x.o.x.o.x.o.....", "kick": "X..x..x.X.......", "snare": "....X...o.ooxxXX"},
    "end": {"crash": "X...............", "kick": "X...............", "snare": "X..............."},
}  # fmt: skip

# r root, 5 fifth above, 8 octave above, "." lets the note ring on, "_" stops it.
BASS = {
    "sparse": "r.......r.....5.",
    "verse": "r.....r.r..._.5.",
    "chorus": "r..r..r.8_r...5.",
    "end": "r...............",
}
# D strums down, u up, d and U quieter and louder ones; "." rings on.
GUITAR = {
    "open": "D.......d...u...",
    "light": "D...d.u...u.d.u.",
    "full": "D...D.uu..u.D.u.",
    "end": "D...............",
}
# Vibraphone over the intro and the break: `bar beat pitch length`, bars counted from the start of the song.
BELLS = (
    "0 0 B4 1", "0 1.5 D5 .5", "0 2 G5 1", "0 3.5 F#5 .5", "1 0 E5 1.5", "1 1.5 D5 .5", "1 2 C5 2",
    "10 0 B4 .5", "10 .5 D5 .5", "10 1 G5 1", "10 2.5 F#5 .5", "10 3 E5 1",
    "11 0 F#5 1", "11 1 E5 .5", "11 1.5 D5 1", "11 2.5 E5 .5", "11 3 F#5 1", "16 0 G5 3",
)  # fmt: skip

SCALE = (0, 2, 4, 6, 7, 9, 11)  # pitch classes of G major


def pitch(name: str) -> int:
    """MIDI note of a name such as `F#4` (C4 is 60)."""
    match = re.fullmatch(r"([A-G])(#?)(\d)", name)
    if match is None:
        raise ValueError(f"not a note name: {name!r}")
    letter, sharp, octave = match.groups()
    pitch_class = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[letter] + len(sharp)
    return 12 * (int(octave) + 1) + pitch_class


def third_below(midi_note: int) -> int:
    """The note two steps of the scale lower: the harmony voice."""
    steps = [note for note in range(midi_note - 5, midi_note) if note % 12 in SCALE]
    return steps[-2]


def seconds(bar: int, beat: float) -> float:
    return bar * BAR_S + beat * BEAT_S
