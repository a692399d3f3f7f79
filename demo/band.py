"""Drums, bass and the other instruments: the patterns of the score as General MIDI, played by fluidsynth."""

import random
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import mido
import numpy as np
import score
import soundfile

TICKS_PER_BEAT = 960
DRUM_CHANNEL = 9
STRUM_DELAY_S = 0.011  # between one guitar string and the next
# Beat and length of the electric piano's chords.
CHORUS_PULSES = [(0.0, 0.95), (1.0, 0.95), (2.0, 0.95), (3.0, 0.95)]
VERSE_PULSES = [(0.0, 1.4), (1.5, 2.4)]


@dataclass(frozen=True)
class Note:
    start_s: float
    length_s: float
    midi_note: int
    velocity: int


@dataclass(frozen=True)
class Part:
    """One General MIDI instrument."""

    program: int  # counted from 0
    channel: int
    pan: int  # 0 left, 64 middle, 127 right
    volume: int
    notes: tuple[Note, ...]


def bars() -> Iterator[tuple[score.Section, int, int]]:
    """Section, index of the bar inside it, and bar of the song."""
    for section in score.FORM:
        for index in range(len(section.chords)):
            yield section, index, section.first_bar + index


def rings_beats(section: score.Section) -> float:
    return score.RING_BEATS if section is score.FORM[-1] else 0.0


def strokes(pattern: str) -> Iterator[tuple[float, float, str]]:
    """Beat, length in beats until the next mark, and letter of every mark but `_`."""
    marks = [(i, letter) for i, letter in enumerate(pattern) if letter != "."] + [(len(pattern), "_")]
    for (i, letter), (following, _) in pairwise(marks):
        if letter != "_":
            yield i / 4, (following - i) / 4, letter


def drums(rng: random.Random) -> tuple[Part, ...]:
    notes = []
    for section, index, bar in bars():
        for piece, pattern in score.DRUMS[section.drums[index]].items():
            for beat, _, letter in strokes(pattern):
                # The backbeat is slightly late, the other notes vary by a few milliseconds.
                late_s = 0.006 if piece == "snare" else 0.0
                start_s = score.seconds(bar, beat) + late_s + rng.gauss(0, 0.003)
                velocity = score.VELOCITIES[letter] + rng.gauss(0, 4)
                notes.append(Note(start_s, 0.1, score.KIT[piece], round(velocity)))
    return (Part(0, DRUM_CHANNEL, 64, 110, tuple(notes)),)


def bass(rng: random.Random) -> tuple[Part, ...]:
    intervals = {"r": 0, "5": 7, "8": 12}
    notes = []
    for section, index, bar in bars():
        root = score.pitch(score.CHORDS[section.chords[index]][0])
        for beat, beats, letter in strokes(score.BASS[section.bass]):
            velocity = round(96 - 8 * (beat % 1 > 0) + rng.gauss(0, 4))
            start_s = score.seconds(bar, beat) + rng.gauss(0, 0.003)
            length_s = (beats * 0.93 + rings_beats(section)) * score.BEAT_S
            notes.append(Note(start_s, length_s, root + intervals[letter], velocity))
    return (Part(33, 0, 64, 110, tuple(notes)),)


def other(rng: random.Random) -> tuple[Part, ...]:
    """Steel guitar left, electric piano right, strings in the choruses, vibraphone in the instrumental parts."""
    guitar, piano, strings = [], [], []
    for section, index, bar in bars():
        chord = section.chords[index]
        _, keys, strings_of_guitar = score.CHORDS[chord]
        key_notes = [score.pitch(name) for name in keys.split()]
        frets = [score.pitch(name) for name in strings_of_guitar.split()]
        for beat, beats, letter in strokes(score.GUITAR[section.guitar]):
            down = letter in "Dd"
            # An upstroke catches the high strings only.
            sounding = frets if down else frets[:-5:-1]
            loud = {"D": 88, "d": 70, "u": 64}[letter] + rng.gauss(0, 4)
            start_s = score.seconds(bar, beat) + rng.gauss(0, 0.004)
            for i, fret in enumerate(sounding):
                delay_s = i * STRUM_DELAY_S * (1.0 if down else 0.7)
                length_s = (beats + rings_beats(section)) * score.BEAT_S
                guitar.append(Note(start_s + delay_s, length_s, fret, round(loud - 2 * i)))
        full = section.words.endswith("chorus")
        ring_beats = rings_beats(section)
        held = ring_beats > 0
        pulses = [(0.0, 4.0 + ring_beats)] if held else CHORUS_PULSES if full else VERSE_PULSES
        for beat, beats in pulses:
            for key in key_notes:
                velocity = 66 - 8 * (beat > 0) + rng.gauss(0, 4)
                start_s = score.seconds(bar, beat) + abs(rng.gauss(0, 0.006))
                piano.append(Note(start_s, beats * score.BEAT_S, key, round(velocity)))
        if full or held:
            length_s = (3.95 + ring_beats) * score.BEAT_S
            strings += [Note(score.seconds(bar, 0), length_s, key + 12, 52) for key in key_notes]
    bells = []
    for entry in score.BELLS:
        bar, beat, name, beats = entry.split()
        start_s = score.seconds(int(bar), float(beat)) + abs(rng.gauss(0, 0.005))
        velocity = round(80 + rng.gauss(0, 5))
        bells.append(Note(start_s, float(beats) * score.BEAT_S, score.pitch(name), velocity))
    return (
        Part(25, 0, 34, 96, tuple(guitar)),
        Part(4, 1, 90, 92, tuple(piano)),
        Part(48, 2, 64, 70, tuple(strings)),
        Part(11, 3, 78, 92, tuple(bells)),
    )


def midi_file(parts: tuple[Part, ...]) -> mido.MidiFile:
    midi = mido.MidiFile(ticks_per_beat=TICKS_PER_BEAT)
    tempo = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(score.TEMPO_BPM))])
    midi.tracks.append(tempo)
    for part in parts:
        timed = []
        for note in part.notes:
            start = max(0, round(note.start_s / score.BEAT_S * TICKS_PER_BEAT))
            end = start + max(1, round(note.length_s / score.BEAT_S * TICKS_PER_BEAT))
            velocity = min(127, max(1, note.velocity))
            kwargs = {"channel": part.channel, "note": note.midi_note}
            timed.append((start, 1, mido.Message("note_on", velocity=velocity, **kwargs)))
            timed.append((end, 0, mido.Message("note_off", velocity=0, **kwargs)))
        # At one tick a note that ends goes before a note that starts, or a repeated note would be cut off.
        timed.sort(key=lambda event: event[:2])
        track = mido.MidiTrack()
        track.append(mido.Message("program_change", channel=part.channel, program=part.program))
        for control, value in ((7, part.volume), (10, part.pan)):
            track.append(mido.Message("control_change", channel=part.channel, control=control, value=value))
        now = 0
        for tick, _, message in timed:
            track.append(message.copy(time=tick - now))
            now = tick
        midi.tracks.append(track)
    return midi


def play(parts: tuple[Part, ...], soundfont: Path) -> np.ndarray:
    """The parts as (samples, 2) with the exact length of the song, without effects."""
    samples = round(score.SONG_S * score.SAMPLE_RATE_HZ)
    with tempfile.TemporaryDirectory() as folder:
        midi_path, wave_path = Path(folder, "part.mid"), Path(folder, "part.wav")
        midi_file(parts).save(midi_path)
        command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", "0.5", "-O", "float", "-T", "wav"]
        command += ["-r", str(score.SAMPLE_RATE_HZ), "-F", str(wave_path), str(soundfont), str(midi_path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not wave_path.exists():
            raise SystemExit(f"fluidsynth could not play a part: {done.stderr.strip() or 'no output'}")
        sound, rate_hz = soundfile.read(wave_path, always_2d=True)
    if rate_hz != score.SAMPLE_RATE_HZ:
        raise SystemExit(f"fluidsynth wrote {rate_hz} Hz instead of {score.SAMPLE_RATE_HZ}")
    out = np.zeros((samples, 2))
    length = min(samples, len(sound))
    out[:length] = sound[:length]
    return out


def render(soundfont: Path) -> dict[str, np.ndarray]:
    """The three accompanying stems. Each has its own random numbers, so a change in one does not affect the others."""
    return {
        "drums": play(drums(random.Random(1)), soundfont),
        "bass": play(bass(random.Random(2)), soundfont),
        "other": play(other(random.Random(3)), soundfont),
    }
