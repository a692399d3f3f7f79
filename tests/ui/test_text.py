"""Names that anybody may have chosen, as a terminal shows them."""

import pytest

from rtsep.ui.text import cells, cut, printable, shorten

FAMILY = "👨\u200d👩\u200d👧"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Sigur Rós – Ágætis byrjun (1999)", "Sigur Rós – Ágætis byrjun (1999)"),
        ("日本語\u3000の歌", "日本語\u3000の歌"),  # an ideographic space is a space
        (FAMILY + " می\u200cروم", FAMILY + " می\u200cروم"),
        ("cafe\u0301", "cafe\u0301"),
        ("\x1b]0;title\a\x1b[31m\nsecond\tline\r", "\\x1b]0;title\\x07\\x1b[31m\\nsecond\\tline\\r"),
        ("\x7f\x9b31m\x85", "\\x7f\\x9b31m\\x85"),
        ("\u202egnp.exe\u2066\u200e\ufeff", "\\u202egnp.exe\\u2066\\u200e\\ufeff"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("caf\udce9.mp3 \ud800", "caf\\xe9.mp3 \\ud800"),
        (ValueError("no\0no"), "no\\x00no"),
    ],
)
def test_what_would_control_a_terminal_is_escaped_and_the_rest_unchanged(text: object, shown: str) -> None:
    assert printable(text) == shown
    shown.encode()


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("song", 4),
        ("", 0),
        ("日本語", 6),
        ("cafe\u0301", 4),
        ("🎵", 2),
        (FAMILY, 2),
        ("❤\ufe0f", 2),
        ("한국", 4),
        ("🇩🇪", 2),
    ],
)
def test_text_is_measured_in_cells(text: str, columns: int) -> None:
    assert cells(text) == columns


def test_text_is_cut_between_characters_as_people_see_them() -> None:
    assert [cut("日本語", columns) for columns in range(-1, 8)] == [
        "",
        "",
        "",
        "日",
        "日",
        "日本",
        "日本",
        "日本語",
        "日本語",
    ]
    assert [cut(f"a{FAMILY}b", columns) for columns in (1, 2, 3, 4)] == ["a", "a", f"a{FAMILY}", f"a{FAMILY}b"]
    assert cut("cafe\u0301s", 4) == "cafe\u0301"


@pytest.mark.parametrize(
    "text", ["Symphony No. 9 in D minor.flac", "日本語の歌日本語の歌.flac", FAMILY * 9, "e\u0301" * 20]
)
def test_shortened_text_fits_and_keeps_both_ends(text: str) -> None:
    for columns in range(cells(text) + 2):
        short = shorten(text, columns)
        assert cells(short) <= columns
        assert cells(short) >= min(columns - 2, cells(text))  # a wide character may not fit any more
    assert shorten(text, cells(text)) == text
    assert shorten("Symphony No. 9 in D minor.flac", 13) == "Sympho…r.flac"
    assert shorten("Symphony No. 9 in D minor.flac", 1) == "…"
