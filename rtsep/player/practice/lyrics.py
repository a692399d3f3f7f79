"""Lyrics with times: what is sung at a moment, and the parsers of LRC (also by words) and UltraStar texts.

A text of any origin is read: what makes no sense is left out, and nothing raises.

    LRC: [mm:ss.xx]line, several times for a line, <mm:ss.xx> before words, [offset:milliseconds]
    UltraStar: #BPM and #GAP, notes `: beat length pitch syllable`, `- beat` between lines
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

LONGEST_TEXT = 1 << 20
"""Characters; the rest of a longer text is not looked at."""
MOST_LINES = 10_000
LONGEST_LINE = 500
"""Characters of a line that are kept."""
LONGEST_S = 360_000.0
"""100 hours: later times are no times of a song."""
LINGERING_S = 5.0
"""A last line, or one before a long break, is shown for so long after its last word has begun."""


@dataclass(frozen=True)
class Word:
    """A word or syllable, with the spaces around it, and when it is sung."""

    begin_s: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line. `words` is empty where only the line has a time; the words' texts join to the line's."""

    begin_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Lyrics:
    """The lyrics of a song, in the order of their times.

    Attributes:
        lines: not empty.
        timed: False: nobody knows when the lines are sung, and all their times are 0.
    """

    lines: tuple[Line, ...]
    timed: bool = True

    def at(self, time_s: float) -> tuple[int | None, int | None]:
        """The numbers of the line and of the word of it that are sung at a time of the song; None where none is."""
        if not self.timed:
            return None, None
        number = bisect_right(self.lines, time_s, key=lambda line: line.begin_s) - 1
        if number < 0 or time_s >= self.lines[number].end_s:
            return None, None
        word = bisect_right(self.lines[number].words, time_s, key=lambda word: word.begin_s) - 1
        return number, word if word >= 0 else None


def parse_lyrics(text: str) -> Lyrics | None:
    """Lyrics of a text in any format that is known, or without times; None if there is nothing to read."""
    text = text[:LONGEST_TEXT]
    return parse_lrc(text) or parse_ultrastar(text) or parse_plain(text)


def parse_plain(text: str) -> Lyrics | None:
    """Lines without times."""
    lines = [_clean(line) for line in text.splitlines()[:MOST_LINES]]
    return Lyrics(tuple(Line(0.0, 0.0, line) for line in lines), timed=False) if any(lines) else None


_STAMP = re.compile(r"\[(\d{1,4}):(\d{1,2})(?:[.:](\d{1,3}))?\]")
_WORD_STAMP = re.compile(r"<(\d{1,4}):(\d{1,2})(?:[.:](\d{1,3}))?>")
_OFFSET = re.compile(r"\[offset:\s*([+-]?\d{1,7})\s*\]", re.IGNORECASE)


def parse_lrc(text: str) -> Lyrics | None:
    """Lyrics of an LRC text, by lines or by words; None if it has no line with a time."""
    offset = _OFFSET.search(text[:LONGEST_TEXT])
    earlier_s = int(offset[1]) / 1000 if offset else 0.0
    found: list[tuple[float, tuple[Word, ...], str]] = []
    for row in text[:LONGEST_TEXT].splitlines():
        row, begins = row.strip(), []
        while stamp := _STAMP.match(row):
            begins.append(_seconds(stamp))
            row = row[stamp.end() :]
        words = _lrc_words(row)
        line = "".join(word for _, word in words) if words else _clean(row)
        for begin_s in begins:
            # Times of words are those of the first time of a line that is sung several times.
            later_s = begin_s - begins[0] - earlier_s
            sung = tuple(Word(_within(at + later_s), word) for at, word in words)
            found.append((_within(begin_s - earlier_s), sung, line))
    return _timed(found)


def _lrc_words(row: str) -> list[tuple[float, str]]:
    stamps = list(_WORD_STAMP.finditer(row))
    if not stamps:
        return []
    ends = [*(stamp.start() for stamp in stamps[1:]), len(row)]
    words = [
        (_seconds(stamp), _clean(row[stamp.end() : end], keep_ends=True))
        for stamp, end in zip(stamps, ends, strict=True)
    ]
    return sorted(((at, word) for at, word in words if word), key=lambda word: word[0])


def _seconds(stamp: re.Match[str]) -> float:
    minutes, seconds, fraction = stamp.groups()
    return int(minutes) * 60 + int(seconds) + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)


_NOTE = re.compile(r"[:*FRG] ?(-?\d{1,8}) (\d{1,8}) -?\d{1,4} (.*)")
_BREAK = re.compile(r"- ?(-?\d{1,8})(?: (-?\d{1,8}))?")


def parse_ultrastar(text: str) -> Lyrics | None:
    """Lyrics of an UltraStar text, by syllables; None if it is none."""
    text = text[:LONGEST_TEXT]
    beats_a_minute, gap_ms = _header(text, "BPM"), _header(text, "GAP") or 0.0
    if not beats_a_minute or not 1.0 <= beats_a_minute <= 10_000.0:
        return None
    is_relative = re.search(r"^#RELATIVE:\s*yes", text, re.IGNORECASE | re.MULTILINE) is not None
    found: list[tuple[float, tuple[Word, ...], str]] = []
    words: list[Word] = []
    zero = 0

    def end_line() -> None:
        if words:
            found.append((words[0].begin_s, tuple(words), "".join(word.text for word in words)))
            words.clear()

    for row in text.splitlines():
        if note := _NOTE.fullmatch(row.rstrip("\r\n")):
            # A beat of these files is a quarter of one of the tempo.
            begin_s = gap_ms / 1000 + (zero + int(note[1])) * 15.0 / beats_a_minute
            if syllable := _clean(note[3], keep_ends=True).replace("~", ""):
                words.append(Word(_within(begin_s), syllable))
        elif line_break := _BREAK.fullmatch(row.strip()):
            end_line()
            if is_relative:
                zero += int(line_break[2] or line_break[1])
        elif re.match(r"P ?\d", row):  # the next singer of a duet
            end_line()
            zero = 0
    end_line()
    return _timed(found)


def _header(text: str, name: str) -> float | None:
    match = re.search(rf"^#{name}:\s*(-?\d{{1,8}}(?:[.,]\d{{1,6}})?)\s*$", text, re.IGNORECASE | re.MULTILINE)
    return float(match[1].replace(",", ".")) if match else None


def timed_words(pieces: list[tuple[float, str]]) -> Lyrics | None:
    """Lyrics from texts with times in seconds, as ID3's SYLT has them; a line begins with a line break."""
    lines: list[list[tuple[float, str]]] = []
    for begin_s, text in pieces[: LONGEST_TEXT // 8]:
        if not lines or text.startswith(("\n", "\r")):
            lines.append([])
        if word := _clean(text, keep_ends=True):
            lines[-1].append((begin_s, word))
    found = []
    for line in filter(None, lines):
        words = tuple(Word(_within(begin_s), text) for begin_s, text in line)
        text = "".join(word.text for word in words).strip()
        found.append((words[0].begin_s, words if len(words) > 1 else (), text))
    return _timed(found)


def _timed(found: list[tuple[float, tuple[Word, ...], str]]) -> Lyrics | None:
    """Sorted lines that end where the next one begins, if only with nothing, or some time after their last word."""
    found = sorted(found, key=lambda line: line[0])[:MOST_LINES]
    following = [*(begin_s for begin_s, *_ in found[1:]), LONGEST_S]
    lines: list[Line] = []
    for (begin_s, words, text), next_s in zip(found, following, strict=False):
        words = _spaced([word for word in words if begin_s <= word.begin_s][:LONGEST_LINE])
        text = ("".join(word.text for word in words) if words else text)[:LONGEST_LINE]
        if text.strip():
            last_s = words[-1].begin_s if words else begin_s
            # Without times of words a line may last as long as it takes.
            end_s = min(next_s, last_s + LINGERING_S) if words or next_s == LONGEST_S else next_s
            lines.append(Line(begin_s, max(end_s, begin_s), text, words))
    return Lyrics(tuple(lines)) if lines else None


def _spaced(words: list[Word]) -> tuple[Word, ...]:
    """Words with one space between them, where there was any, and none at the ends of the line."""
    spaced: list[Word] = []
    for word in words:
        begins_a_word = not spaced or spaced[-1].text.endswith(" ")
        spaced.append(Word(word.begin_s, word.text.lstrip(" ") if begins_a_word else word.text))
    if spaced:
        spaced[-1] = Word(spaced[-1].begin_s, spaced[-1].text.rstrip(" "))
    return tuple(word for word in spaced if word.text)


def _within(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_S)


def _clean(text: str, keep_ends: bool = False) -> str:
    """Printable, spaces as single ones, with one at the ends where `keep_ends` and there were some."""
    parts = "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST_LINE]).split(" ")
    joined = " ".join(part for part in parts if part)
    if not keep_ends:
        return joined
    before = " " if text[:1].isspace() and joined else ""
    return f"{before}{joined}{' ' if text[-1:].isspace() and joined else ''}"
