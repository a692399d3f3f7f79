"""Names of outputs: safe on every file system, never too long, never two the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsep.audio.files.tags import Tags
from rtsep.batch.naming import Template, UsedPaths, fields_of
from rtsep.batch.tasks import plan_tasks
from rtsep.errors import UsageError

LONG = "{artist}/{album}/{track} {title}/{stem}.{ext}"


def path(template: str, song: str = "song.mp3", number: int = 1, **tags: str) -> str:
    fields = fields_of(Path(song), Tags({name: (text,) for name, text in tags.items()}), "wav")
    return str(Template(template).paths(fields, ["vocals"], number)["vocals"])


def test_fields_come_from_tags_and_have_a_name_without_them() -> None:
    tags = {"artist": "A", "album": "B", "title": "T", "tracknumber": "3", "date": "1999-05-01", "genre": "Rock"}
    assert path(LONG, **tags) == "A/B/03 T/vocals.wav"
    assert path("{year}/{genre}/{albumartist} {name} {stem}.{ext}", **tags) == "1999/Rock/A song vocals.wav"
    assert path(LONG) == "Unknown artist/Unknown album/song/vocals.wav"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("AC/DC", "AC_DC"),
        ('a<b>c:d"e\\f|g?h*i', "a_b_c_d_e_f_g_h_i"),
        ("line\nfeed\0", "line_feed_"),
        ("dots...", "dots"),
        (" . ", "track"),
        ("..", "track"),
        ("CON", "_CON"),
        ("nul.tar", "_nul.tar"),
        ("\udcff", "_"),
        ("e\u0301", "\u00e9"),
        ("👩‍🎤", "👩‍🎤"),
        ("-rf", "-rf"),
    ],
)
def test_names_are_safe(text: str, safe: str) -> None:
    assert path("{title}/{stem}.{ext}", title=text) == f"{safe}/vocals.wav"


@settings(max_examples=20)
@given(st.text(max_size=400), st.text(max_size=300), st.integers(1, 3))
def test_names_fit_and_stay_inside(title: str, artist: str, number: int) -> None:
    made = path("{artist}/{artist} {title} {stem}.{ext}", number=number, title=title, artist=artist).split("/")
    assert len(made) == 2
    for name in made:
        assert 0 < len(name.encode()) <= 255
        assert name not in (".", "..")
        assert name == name.rstrip(". ")
    assert "vocals" in made[1]


def test_the_number_is_added_where_all_stems_share_it() -> None:
    assert path("{name}/{stem}.{ext}", number=2) == "song (2)/vocals.wav"
    assert path("{stem}/{name}.{ext}", number=3) == "vocals/song (3).wav"
    assert path("{name} {stem}.{ext}", number=2) == "song vocals (2).wav"


def test_names_that_differ_by_case_or_unicode_form_are_numbered() -> None:
    songs = [Path(name) for name in ("Ä.wav", "x/ä.mp3", "A\u0308.flac", "CON.wav", "con.mp3")]
    tasks = plan_tasks(songs, Path("out"), ["vocals"])
    assert [task.folder.name for task in tasks] == ["Ä", "ä (2)", "Ä (3)", "_CON", "_con (2)"]
    used = UsedPaths()
    assert used.claim(lambda number: {"a": Path(f"x{number}")}) == {"a": Path("x1")}
    assert used.claim(lambda number: {"a": Path(f"X{number}"), "b": Path("y")}) == {"a": Path("X2"), "b": Path("y")}


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{nam}/{stem}.{ext}", "{nam} is not a field"),
        ("{name!r}.{ext}", "is not a field"),
        ("{name:>9}.{ext}", "is not a field"),
        ("{name.parent}.{ext}", "is not a field"),
        ("{}.{ext}", "is not a field"),
        ("{name", "expected '}'"),
        ("/{name}/{stem}.{ext}", "a path inside the output folder"),
        ("../{name}.{ext}", "a path inside the output folder"),
        ("{name}/{stem}", "a path inside the output folder"),
        ("", "a path inside the output folder"),
    ],
)
def test_templates_that_cannot_be_are_refused(template: str, reason: str) -> None:
    with pytest.raises(UsageError) as refused:
        Template(template)
    assert str(refused.value).startswith(f"--template {template}: ")
    assert reason in str(refused.value)


def test_stems_need_names_of_their_own() -> None:
    Template("{name}.{ext}").check(1)
    with pytest.raises(UsageError, match=r"expected \{stem\} in it"):
        Template("{name}.{ext}").check(2)
