"""Lyrics: the formats, the tags, what is sung when, and any text at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.flac import FLAC
from mutagen.id3 import ID3
from mutagen.id3._frames import SYLT, USLT

from rtsep.player.practice.lyric_files import decoded, find_lyrics
from rtsep.player.practice.lyrics import LONGEST_S, Line, Lyrics, Word, parse_lrc, parse_lyrics, parse_ultrastar

LRC = """[ar:Nobody]
[offset:+500]
[00:10.50]First line
[00:14.00][01:14.00]Twice
[00:20.00]
[00:30.5] <00:30.50> By <00:31.00> word<00:31.25>s
"""


def test_lrc_by_lines_and_by_words() -> None:
    lyrics = parse_lrc(LRC)
    assert lyrics is not None
    assert [(line.begin_s, line.end_s, line.text) for line in lyrics.lines] == [
        (10.0, 13.5, "First line"),
        (13.5, 19.5, "Twice"),
        (30.0, 35.75, "By words"),
        (73.5, 78.5, "Twice"),
    ]
    assert lyrics.lines[2].words == (Word(30.0, "By "), Word(30.5, "word"), Word(30.75, "s"))
    assert [lyrics.at(time_s) for time_s in (9.9, 10.0, 15.0, 19.6, 30.1, 30.6, 31.0, 40.0)] == [
        (None, None), (0, None), (1, None), (None, None), (2, 0), (2, 1), (2, 2), (None, None),
    ]  # fmt: skip


def test_ultrastar_by_syllables() -> None:
    text = "#TITLE:X\n#BPM:300,0\n#GAP:2000\n: 0 4 0 Hel\n: 4 4 2 lo\n* 8 4 2  world\n- 20\n"
    text += ": 40 2 0 A~\nF 44 2 0 gain\nE\n"
    lyrics = parse_ultrastar(text)
    assert lyrics is not None
    assert [line.text for line in lyrics.lines] == ["Hello world", "Again"]
    assert [word.begin_s for word in lyrics.lines[0].words] == pytest.approx([2.0, 2.2, 2.4])
    assert lyrics.lines[1].begin_s == pytest.approx(4.0)
    relative = text.replace("#GAP", "#RELATIVE:YES\n#GAP").replace(": 40 2", ": 20 2").replace("F 44", "F 24")
    assert parse_ultrastar(relative) == lyrics


def test_a_text_without_times_has_lines_and_nothing_is_sung() -> None:
    lyrics = parse_lyrics("One\n\nTwo")
    assert lyrics == Lyrics((Line(0, 0, "One"), Line(0, 0, ""), Line(0, 0, "Two")), timed=False)
    assert lyrics.at(1.0) == (None, None)
    assert parse_lyrics(" \n ") is None


PARTS = st.sampled_from(
    [
        "[",
        "]",
        "<",
        ">",
        ":",
        ".",
        "00",
        "99:59",
        "[00:01.5]",
        "<00:02>",
        "[offset:-9]",
        "\n",
        " ",
        "#BPM:120\n",
        "- 4\n",
    ]
    + [": 1 2 3 la\n", "P1\n", "é", "\x00", "\u2028"]
)


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.text(max_size=300), st.lists(PARTS, max_size=60).map("".join)))
def test_any_text_becomes_lyrics_in_order_or_none(text: str) -> None:
    for lyrics in (parse_lrc(text), parse_ultrastar(text), parse_lyrics(text)):
        if lyrics is None:
            continue
        assert lyrics.lines
        begins = [line.begin_s for line in lyrics.lines]
        assert begins == sorted(begins)
        for number, line in enumerate(lyrics.lines):
            assert 0 <= line.begin_s <= line.end_s <= LONGEST_S
            assert line.text.isprintable()
            times = [word.begin_s for word in line.words]
            assert times == sorted(times)
            if lyrics.timed and line.begin_s < line.end_s:
                last = bool(begins[number + 1 :]) and begins[number + 1] == line.begin_s
                assert last or lyrics.at(line.begin_s)[0] == number


def test_a_file_beside_the_song_comes_before_the_tags(tmp_path: Path) -> None:
    song = tmp_path / "song.flac"
    soundfile.write(song, np.zeros((100, 2)), 44100)
    assert find_lyrics(song) is None
    tags = FLAC(song)
    tags["LYRICS"] = "[00:01.00]from the tags"
    tags.save()
    assert _first(song) == "from the tags"
    song.with_suffix(".txt").write_text("a list of things to buy", encoding="utf-8")
    assert _first(song) == "from the tags"
    song.with_suffix(".txt").write_text("#BPM:100\n: 0 1 0 sung\n", encoding="utf-8")
    assert _first(song) == "sung"
    song.with_suffix(".lrc").write_bytes("[00:01.00]beside ü".encode("cp1252"))
    assert _first(song) == "beside ü"


def test_id3_lyrics_with_times_come_before_those_without(tmp_path: Path) -> None:
    song = tmp_path / "song.mp3"
    soundfile.write(song, np.zeros((4000, 2)), 44100, format="MP3")
    tags = ID3()
    tags.add(USLT(encoding=3, lang="eng", desc="", text="no times"))
    tags.save(song)
    lyrics = find_lyrics(song)
    assert lyrics is not None
    assert not lyrics.timed
    tags.add(
        SYLT(encoding=3, lang="eng", format=2, type=1, desc="", text=[("\nWe ", 1000), ("sing", 1500), ("\nOn", 4000)])
    )
    tags.save(song)
    lyrics = find_lyrics(song)
    assert lyrics is not None
    assert [line.text for line in lyrics.lines] == ["We sing", "On"]
    assert lyrics.at(1.6) == (0, 1)


def test_damaged_tags_and_files_are_no_lyrics(tmp_path: Path) -> None:
    song = tmp_path / "song.mp3"
    song.write_bytes(b"ID3\x04\x00\x00\x00\x00\x0f\x7fUSLT\xff\xff\xff\xff" + bytes(200))
    assert find_lyrics(song) is None
    song.with_suffix(".lrc").mkdir()
    assert find_lyrics(song) is None
    assert decoded(b"\xff\xfe\x00") is not None


def _first(song: Path) -> str | None:
    lyrics = find_lyrics(song)
    return None if lyrics is None else lyrics.lines[0].text
