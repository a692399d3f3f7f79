"""The voice: spoken lines stretched to the notes and sung on the melody with the WORLD vocoder.

WORLD splits speech into pitch, spectral envelope (the colour of vowels and consonants) and noisiness. The
envelope stays as spoken, vowels are stretched in their middle, consonants keep their length, and the pitch
comes from the score.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyworld
import score
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, resample_poly, sosfilt
from speech import Phoneme, Speaker

RATE_HZ = score.SAMPLE_RATE_HZ
FRAME_MS = 5.0
FRAME_S = FRAME_MS / 1000
PAD_S = 0.05  # silence around the spoken line, against abrupt starts
PAUSE_S = 0.03  # espeak-ng waits before "and": sung, this is a short gap
CONSONANT_RATE = 0.9  # sung consonants are a little quicker than these slowly spoken ones
LEAST_VOWEL_SHARE = 0.45  # of the time from one syllable to the next
LINE_RMS = 0.1
BREATH_GAIN = 0.02
SIBILANCE_CUT_DB = 6.0


@dataclass(frozen=True)
class Take:
    """One recording of a line. Several takes side by side make the chorus wide."""

    gain_db: float
    pan: float  # -1 left, 1 right
    seed: int
    detune_cents: float = 0.0
    late_s: float = 0.0
    formant_ratio: float = 1.0  # above 1: a smaller singer
    harmony: bool = False


LEAD = Take(gain_db=0.0, pan=0.0, seed=10)
CHORUS_TAKES = (
    Take(gain_db=-12.0, pan=-0.55, seed=11, detune_cents=-8, late_s=0.014, formant_ratio=0.98),
    Take(gain_db=-12.0, pan=0.55, seed=12, detune_cents=8, late_s=0.021, formant_ratio=1.02),
    Take(gain_db=-9.0, pan=0.3, seed=13, late_s=0.01, formant_ratio=0.96, harmony=True),
)


@dataclass(frozen=True)
class SungNote:
    start_s: float
    end_s: float
    midi_note: int


@dataclass(frozen=True)
class Spoken:
    """A spoken line after analysis; all arrays have one row a frame."""

    phonemes: list[Phoneme]
    envelope_db: np.ndarray
    noisiness: np.ndarray
    voiced: np.ndarray


def notes_of(line: score.Line, section_bar: int) -> list[list[SungNote]]:
    """The notes of every syllable of a line."""
    syllables = []
    for entry in line.syllables:
        _, beat, *tones = entry.split()
        now = float(beat)
        notes = []
        for name, beats in zip(tones[::2], tones[1::2], strict=True):
            start_s = score.seconds(section_bar + line.bar, now)
            now += float(beats)
            notes.append(SungNote(start_s, score.seconds(section_bar + line.bar, now), score.pitch(name)))
        syllables.append(notes)
    return syllables


def analyse(speaker: Speaker, text: str) -> Spoken:
    sound, phonemes = speaker.say(text)
    pad = np.zeros(round(PAD_S * RATE_HZ))
    sound = np.concatenate([pad, resample_poly(sound, RATE_HZ, speaker.rate_hz), pad])
    phonemes = [replace(p, start_s=p.start_s + PAD_S, end_s=p.end_s + PAD_S) for p in phonemes]
    f0_hz, times_s = pyworld.harvest(sound, RATE_HZ, f0_floor=90, f0_ceil=400, frame_period=FRAME_MS)
    voiced = f0_hz > 0
    for phoneme in phonemes:
        inside = (times_s >= phoneme.start_s) & (times_s < phoneme.end_s)
        if phoneme.is_sonorant:
            voiced |= inside
        elif phoneme.is_voiceless or phoneme.is_pause:
            voiced &= ~inside
    # The speech is on one pitch, so a frame where the pitch was not found gets that of its neighbours.
    found = f0_hz > 0
    f0_hz = np.where(voiced, np.interp(times_s, times_s[found], f0_hz[found]), 0.0)
    power = pyworld.cheaptrick(sound, f0_hz, times_s, RATE_HZ)
    noisiness = pyworld.d4c(sound, f0_hz, times_s, RATE_HZ)
    envelope_db = 10 * np.log10(np.maximum(power, 1e-14))
    add_air(envelope_db, noisiness, voiced)
    return Spoken(phonemes, envelope_db, noisiness, voiced)


def add_air(spoken_db: np.ndarray, noisiness: np.ndarray, voiced: np.ndarray) -> None:
    """Open up the dull top of espeak-ng, in place. `spoken_db` is the envelope in decibels of power.

    Its vowels stop at 5 kHz, everything stops at 11 kHz, and there is no breath in it.
    """
    hz = np.linspace(0, RATE_HZ / 2, spoken_db.shape[1])
    body = (hz > 3000) & (hz < 4800)
    octaves = np.log2(np.maximum(hz, 1) / 4400)
    singing = spoken_db[:, body].max(axis=1, keepdims=True) - 10 - 30 * octaves
    filled = np.where(voiced[:, None] & (hz > 4600), np.maximum(spoken_db, singing), spoken_db)
    known, above = (hz > 7500) & (hz < 9800), hz >= 9800
    top = filled[:, known].mean(axis=1, keepdims=True)
    filled[:, above] = top - 20 * np.log2(hz[above] / 9800)
    filled[~voiced] -= SIBILANCE_CUT_DB * np.clip((hz - 3000) / 2000, 0, 1)
    spoken_db[:] = filled
    noisiness[:, above] = np.maximum(noisiness[:, above], 0.9)
    np.maximum(noisiness, np.clip((hz - 3000) / 6000, 0, 1) * 0.35, out=noisiness)


def time_map(spoken: Spoken, syllables: list[list[SungNote]]) -> tuple[np.ndarray, np.ndarray]:
    """Corner points (sung time, spoken time): every vowel starts on its note, consonants go before it."""
    vowels = [i for i, p in enumerate(spoken.phonemes) if p.is_vowel]
    if len(vowels) != len(syllables):
        said = " ".join(p.name for p in spoken.phonemes)
        raise SystemExit(f"{len(syllables)} syllables in the score but {len(vowels)} spoken: {said}")

    def natural_s(phonemes: list[Phoneme]) -> float:
        return sum(PAUSE_S if p.is_pause else (p.end_s - p.start_s) * CONSONANT_RATE for p in phonemes)

    corners: list[tuple[float, float]] = []

    def lay(phonemes: list[Phoneme], start_s: float, scale: float) -> None:
        for phoneme in phonemes:
            corners.append((start_s, phoneme.start_s))
            start_s += natural_s([phoneme]) * scale
            corners.append((start_s, phoneme.end_s))

    first = spoken.phonemes[: vowels[0]]
    lay(first, syllables[0][0].start_s - natural_s(first), 1.0)
    bounds = pairwise([*vowels, len(spoken.phonemes)])
    for (here, following), notes, later in zip(bounds, syllables, [*syllables[1:], None], strict=True):
        vowel = spoken.phonemes[here]
        consonants = spoken.phonemes[here + 1 : following]
        start_s = notes[0].start_s
        if later is None:
            consonants = [p for p in consonants if not p.is_pause]
            vowel_end_s, scale = notes[-1].end_s, 1.0
        else:
            room_s = later[0].start_s - start_s
            # Consonants that leave too little time for the vowel are shortened.
            needed_s = natural_s(consonants)
            scale = min(1.0, room_s * (1 - LEAST_VOWEL_SHARE) / needed_s) if needed_s else 1.0
            vowel_end_s = later[0].start_s - needed_s * scale
        spoken_s = vowel.end_s - vowel.start_s
        sung_s = vowel_end_s - start_s
        # Only the steady part is stretched; a diphthong is held on its first colour, as singers do.
        head_s, tail_s = 0.3 * spoken_s, (0.5 if vowel.is_glide else 0.3) * spoken_s
        squeeze = min(1.0, 0.8 * sung_s / (head_s + tail_s))
        corners.append((start_s, vowel.start_s))
        corners.append((start_s + head_s * squeeze, vowel.start_s + head_s))
        corners.append((vowel_end_s - tail_s * squeeze, vowel.end_s - tail_s))
        corners.append((vowel_end_s, vowel.end_s))
        lay(consonants, vowel_end_s, scale)
    sung, said = np.array(corners).T
    return sung, said


def melody(times_s: np.ndarray, syllables: list[list[SungNote]], take: Take) -> np.ndarray:
    """Pitch in semitones (MIDI numbers): slides, vibrato on long notes, a little unsteadiness."""
    notes = [note for syllable in syllables for note in syllable]
    steps = np.full(len(times_s), float(notes[0].midi_note))
    for note in notes:
        # The slide begins in the consonant before the note.
        steps[times_s >= note.start_s - 0.02] = note.midi_note
    pitch = gaussian_filter1d(steps, 0.022 / FRAME_S, mode="nearest")
    scoop = np.maximum(times_s - notes[0].start_s, 0)
    pitch -= 1.2 * np.exp(-scoop / 0.05)
    rng = np.random.default_rng(take.seed)
    rate_hz = rng.uniform(5.2, 5.7)
    for note in notes:
        if note.end_s - note.start_s > 0.42:
            since_s = times_s - note.start_s
            swell = np.clip((since_s - 0.2) / 0.35, 0, 1) * np.clip((note.end_s - times_s) / 0.08, 0, 1)
            pitch += 0.32 * swell * np.sin(2 * np.pi * rate_hz * since_s)
    pitch += 0.06 * unsteady(len(times_s), 0.08, rng)
    pitch -= 0.8 * np.clip((times_s - notes[-1].end_s + 0.05) / 0.15, 0, 1)
    return pitch + take.detune_cents / 100


def evened_db(spoken: Spoken) -> np.ndarray:
    """The envelope with the vowels brought to a similar level, since speakers swallow some that singers hold."""
    times_s = np.arange(len(spoken.envelope_db)) * FRAME_S
    power = (10 ** (spoken.envelope_db / 10)).sum(axis=1)
    vowels = [p for p in spoken.phonemes if p.is_vowel]
    middles_s = [(p.start_s + p.end_s) / 2 for p in vowels]
    levels_db = []
    for vowel in vowels:
        inside = (times_s >= vowel.start_s) & (times_s < vowel.end_s)
        levels_db.append(10 * np.log10(power[inside].mean()))
    gains_db = 0.8 * (np.mean(levels_db) - np.array(levels_db))
    smooth_db = gaussian_filter1d(np.interp(times_s, middles_s, gains_db), 0.03 / FRAME_S)
    return spoken.envelope_db + smooth_db[:, None]


def unsteady(samples: int, width_s: float, rng: np.random.Generator) -> np.ndarray:
    """Slow random movement, one value a frame, of standard deviation 1."""
    noise = gaussian_filter1d(rng.standard_normal(samples), width_s / FRAME_S, mode="nearest")
    return noise / noise.std()


def sing(spoken: Spoken, syllables: list[list[SungNote]], take: Take) -> tuple[float, np.ndarray]:
    """One take of one line: the second at which it starts and its mono sound."""
    if take.harmony:
        syllables = [[replace(n, midi_note=score.third_below(n.midi_note)) for n in s] for s in syllables]
    sung_s, said_s = time_map(spoken, syllables)
    begin_s = sung_s[0] - PAD_S
    frames = round((sung_s[-1] + PAD_S - begin_s) / FRAME_S) + 1
    times_s = begin_s + np.arange(frames) * FRAME_S
    sung_s = np.concatenate([[begin_s], sung_s, [sung_s[-1] + PAD_S]])
    said_s = np.concatenate([[said_s[0] - PAD_S], said_s, [said_s[-1] + PAD_S]])
    position = np.clip(np.interp(times_s, sung_s, said_s) / FRAME_S, 0, len(spoken.envelope_db) - 1.001)
    below = position.astype(int)
    part = (position - below)[:, None]
    even_db = evened_db(spoken)
    envelope_db = (1 - part) * even_db[below] + part * even_db[below + 1]
    envelope_db += unsteady(frames, 0.12, np.random.default_rng(take.seed + 1))[:, None]
    noisiness = (1 - part) * spoken.noisiness[below] + part * spoken.noisiness[below + 1]
    voiced = spoken.voiced[np.minimum(np.round(position).astype(int), len(spoken.voiced) - 1)]
    # The last vowel is let go softly; a consonant after it stays clear.
    let_go = np.clip((times_s - syllables[-1][-1].end_s) / 0.15 + 0.8, 0, 1) * voiced
    envelope_db -= 18 * let_go[:, None]
    if take.formant_ratio != 1.0:
        bins = np.arange(envelope_db.shape[1])
        envelope_db = np.stack([np.interp(bins / take.formant_ratio, bins, row) for row in envelope_db])
    f0_hz = np.where(voiced, 440 * 2 ** ((melody(times_s, syllables, take) - 69) / 12), 0.0)
    sound = pyworld.synthesize(f0_hz, 10 ** (envelope_db / 10), noisiness, RATE_HZ, FRAME_MS)
    fade = min(len(sound), round(0.02 * RATE_HZ))
    sound[:fade] *= np.linspace(0, 1, fade)
    sound[-fade:] *= np.linspace(1, 0, fade)
    return begin_s + take.late_s, sound


def breath(seed: int) -> np.ndarray:
    """A quick breath in, 0.3 s."""
    samples = round(0.3 * RATE_HZ)
    noise = np.random.default_rng(seed).standard_normal(samples)
    shaped = sosfilt(butter(2, (1200, 9000), "bandpass", fs=RATE_HZ, output="sos"), noise)
    shape = np.interp(np.linspace(0, 1, samples), (0, 0.7, 1), (0, 1, 0)) ** 2
    return shaped * shape


def render() -> np.ndarray:
    """All takes of all lines as (samples, 2), without effects; the lead has LINE_RMS in every line."""
    speaker = Speaker()
    spoken: dict[str, Spoken] = {}
    out = np.zeros((round(score.SONG_S * RATE_HZ), 2))

    def place(start_s: float, sound: np.ndarray, gain: float, pan: float) -> None:
        start = round(start_s * RATE_HZ)
        angle = (pan + 1) * np.pi / 4
        sides = gain * np.sqrt(2) * np.array([np.cos(angle), np.sin(angle)])
        out[start : start + len(sound)] += sound[: len(out) - start, None] * sides

    for section in score.FORM:
        for number, line in enumerate(score.WORDS.get(section.words, ())):
            if line.text not in spoken:
                spoken[line.text] = analyse(speaker, line.text)
            syllables = notes_of(line, section.first_bar)
            takes = (LEAD, *CHORUS_TAKES) if "chorus" in section.words else (LEAD,)
            lead_rms = 0.0
            for take in takes:
                take = replace(take, seed=take.seed + 100 * (section.first_bar + number))
                start_s, sound = sing(spoken[line.text], syllables, take)
                if lead_rms == 0.0:
                    lead_rms = float(np.sqrt(np.mean(sound**2)))
                    place(start_s - 0.29, breath(section.first_bar + number), BREATH_GAIN, 0.0)
                # The spoken lines differ in level: normalise each.
                place(start_s, sound, 10 ** (take.gain_db / 20) * LINE_RMS / lead_rms, take.pan)
    return out
