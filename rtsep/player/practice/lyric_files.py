"""Where the lyrics of a song are: in a file beside it, or in its tags. Nothing is fetched."""

from __future__ import annotations

import codecs
import logging
from pathlib import Path
from typing import Any

from rtsep.player.practice.lyrics import LONGEST_TEXT, Lyrics, parse_lrc, parse_lyrics, parse_ultrastar, timed_words

LARGEST_FILE = 4 * LONGEST_TEXT
"""Bytes; a larger file is none of lyrics."""


def find_lyrics(song: Path) -> Lyrics | None:
    """Lyrics with times beside the song or in its tags, else without times in its tags; None if there are none.

    SONG.lrc comes first, then SONG.txt in UltraStar's format, then the tags. What cannot be read counts as not there.
    """
    return _beside(song) or _in_tags(song)


def _beside(song: Path) -> Lyrics | None:
    for suffix, parse in ((".lrc", parse_lrc), (".LRC", parse_lrc), (".txt", parse_ultrastar)):
        path = song.with_suffix(suffix)
        try:
            if path.is_file() and path.stat().st_size <= LARGEST_FILE:
                lyrics = parse(decoded(path.read_bytes()))
                if lyrics is not None:
                    return lyrics
        except OSError:
            continue
    return None


def decoded(content: bytes) -> str:
    """The text of a file: UTF-8, UTF-16 with a mark, else Windows-1252."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _in_tags(song: Path) -> Lyrics | None:
    import mutagen

    try:
        tags: Any = getattr(mutagen.File(song), "tags", None)  # type: ignore[attr-defined]
        return None if tags is None else _from_tags(tags)
    except Exception as error:  # mutagen raises whatever a damaged file provokes
        logging.getLogger("rtsep").debug("no lyrics from the tags of %s", song, exc_info=error)
        return None


def _from_tags(tags: Any) -> Lyrics | None:
    texts: list[str] = []
    if hasattr(tags, "getall"):  # ID3
        for frame in tags.getall("SYLT"):
            if frame.format == 2 and frame.type in (0, 1, 2):  # in milliseconds; lyrics, or a text of that kind
                lyrics = timed_words([(milliseconds / 1000, text) for text, milliseconds in frame.text])
                if lyrics is not None:
                    return lyrics
        texts += [str(frame.text) for frame in tags.getall("USLT")]
        texts += [str(frame) for frame in tags.getall("TXXX") if frame.desc.upper() in ("LYRICS", "SYNCEDLYRICS")]
    else:
        for key, value in tags.items():
            if str(key).lower() in ("lyrics", "syncedlyrics", "unsyncedlyrics", "unsynced lyrics", "\xa9lyr"):
                texts += [str(text) for text in (value if isinstance(value, list) else [value])]
    found = [lyrics for text in texts if (lyrics := parse_lyrics(text)) is not None]
    return next((lyrics for lyrics in found if lyrics.timed), found[0] if found else None)
