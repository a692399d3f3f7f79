"""Text from outside, such as file and device names, made fit for a terminal: printable, measured, shortened."""

from __future__ import annotations

from collections.abc import Iterable
from unicodedata import category

ELLIPSIS = "…"
_JOINERS = "\u200c\u200d"  # invisible, but Persian, Indic scripts and emoji are misspelt without them
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, invisible formats (bidi overrides), surrogates, line breaks


def printable(text: object) -> str:
    r"""``str(text)`` on one line; what would control a terminal is an escape (``\x1b``, ``\n``, ``\u202e``).

    A byte that is not valid in the encoding of file names, a lone surrogate in Python, is shown as ``\xff``.
    """
    text = str(text)
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if category(character) not in _UNPRINTABLE or character in _JOINERS:
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def cells(text: str) -> int:
    """Columns that printable text takes in a terminal: 2 for each CJK character or emoji, 0 for combining marks."""
    if text.isascii():
        return len(text)
    from wcwidth import width  # here, not above: it takes a tenth of a second, and most names need none

    return width(text)


def cut(text: str, columns: int) -> str:
    """The beginning of printable text, as much as fits in `columns` cells."""
    return "".join(_fitting(_characters(text), columns))


def shorten(text: str, columns: int) -> str:
    """Printable text in at most `columns` cells; the middle is replaced by an ellipsis, so a file's ending stays."""
    if cells(text) <= columns:
        return text
    if columns < 1:
        return ""
    characters = list(_characters(text))
    head = "".join(_fitting(characters, columns // 2))
    tail = _fitting(reversed(characters), columns - 1 - cells(head))
    return head + ELLIPSIS + "".join(reversed(tail))


def _characters(text: str) -> Iterable[str]:
    """Characters as people see them: with their accents, emoji joined."""
    if text.isascii():
        return text
    from wcwidth import iter_graphemes

    return iter_graphemes(text)


def _fitting(characters: Iterable[str], columns: int) -> list[str]:
    """The first of `characters`, as many as fit."""
    fitting = []
    for character in characters:
        columns -= cells(character)
        if columns < 0:
            break
        fitting.append(character)
    return fitting
