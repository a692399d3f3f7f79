"""SONG.md: words, chords and origin of the song, generated from the score so that they always match."""

import score

HEAD = """# {title}

The bundled demo song: {length_s:.1f} s, {tempo:.0f} beats a minute, G major, 44.1 kHz stereo.
`mixture.flac` is the exact sum, sample for sample, of `vocals.flac`, `drums.flac`, `bass.flac` and
`other.flac`.

## Form

| part | from | to | chords, one a bar | voice |
|---|---|---|---|---|
"""

MADE = """
## How it was made

Words, melody, chords and patterns were composed for this project; they stand as data in `demo/score.py`.
`python demo/compose.py` makes all files of this folder again: the same bytes every time with the same
versions of the tools.

* Drums, bass, guitar, electric piano, strings, vibraphone: General MIDI, played by fluidsynth with the
  sound font FluidR3.
* Voice: the lines spoken by espeak-ng, stretched to the notes and put on the melody (slides, vibrato) by
  the vocoder WORLD; in the choruses two doubles at the sides and a harmony a third below.
* Mix: compression, a small room around voice, drums and instruments, one limiter that turns all stems down
  alike. The last of the 16 bits is always 0, which makes the files smaller.

## Licence

Composition, words and recording: [CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/), no rights
reserved.

* FluidR3 is copyright 2000-2002, 2008 Frank Wen, under the MIT licence, which lets recordings made with it
  be used freely. The font itself is not part of this repository.
* espeak-ng is a program under GPL 3; the sound it makes is not covered by that licence and is free to use.
"""


def clock(time_s: float) -> str:
    return f"{int(time_s // 60)}:{time_s % 60:04.1f}"


def text() -> str:
    out = HEAD.format(title=score.TITLE, length_s=score.SONG_S, tempo=score.TEMPO_BPM)
    for section in score.FORM:
        voice = "sung" if section.words else "last word held" if section is score.FORM[-1] else "none"
        end_s = score.SONG_S if section is score.FORM[-1] else section.end_s
        times = f"{clock(section.start_s)} | {clock(end_s)}"
        out += f"| {section.name} | {times} | {' '.join(section.chords)} | {voice} |\n"
    out += "\nBefore each sung part a breath and the first consonant come up to 0.5 s early.\n\n## Words\n"
    for section in score.FORM:
        if section.words:
            out += f"\n### {section.name.capitalize()}\n\n| chord | words |\n|---|---|\n"
            for line in score.WORDS[section.words]:
                out += f"| {section.chords[line.bar]} | {line.text} |\n"
    return out + MADE
