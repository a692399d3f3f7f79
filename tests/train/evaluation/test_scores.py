"""Means, medians and tables of rows that are known; and the card that they land in."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from rtsep.errors import RtsepError
from rtsep.train.evaluation.card import BEGIN, END, read_card, write_scores
from rtsep.train.evaluation.scores import Row, markdown, overall

ROW = Row(
    *("here", "a", "vocals", "K=1", "standard", 1),
    sdr_db=6.0,
    median_sdr_db=5.0,
    median_isr_db=9.0,
    median_sir_db=12.0,
    median_sar_db=7.0,
    pause_db=-20.0,
)
SILENT = replace(
    ROW,
    **{"song": "quiet", "songs": 0, "sdr_db": None, "median_sdr_db": None, "median_isr_db": None},
    **{"median_sir_db": None, "median_sar_db": None, "pause_db": -3.0},
)


def test_songs_are_averaged_and_their_frames_medians_too() -> None:
    rows = [
        ROW,
        replace(ROW, song="b", sdr_db=9.0, median_sdr_db=5.5, pause_db=None),
        replace(ROW, song="c", sdr_db=0.0, median_sdr_db=20.0, pause_db=-30.0),
        SILENT,
    ]
    (mean,) = overall(rows)
    assert (mean.folder, mean.song, mean.stem, mean.system, mean.latency) == ("here", None, "vocals", "K=1", "standard")
    assert mean.songs == 3
    assert (mean.sdr_db, mean.median_sdr_db, mean.median_isr_db, mean.pause_db) == (5.0, 5.5, 9.0, -25.0)
    assert overall([*rows, replace(ROW, song="d", sdr_db=math.inf)])[0].sdr_db == 5.0


def test_folders_stems_systems_and_latencies_are_kept_apart() -> None:
    others = [replace(ROW, **{name: "other"}) for name in ("folder", "stem", "system", "latency")]
    assert [row.songs for row in overall([ROW, *others])] == [1] * 5


def test_where_all_are_silent_there_is_no_mean() -> None:
    (mean,) = overall([SILENT])
    assert (mean.songs, mean.sdr_db, mean.median_sdr_db, mean.pause_db) == (0, None, None, None)


def test_tables_hold_every_song_and_system_once() -> None:
    rows = [
        changed
        for row in (ROW, SILENT)
        for changed in (
            replace(row, system="mixture", latency=None, sdr_db=row.sdr_db and -1.5, pause_db=0.0),
            replace(row, system="constant gain", latency=None, sdr_db=row.sdr_db and 2.0),
            *(replace(row, system=system, latency=mode) for system in ("K=1", "K=all") for mode in ("standard", "low")),
        )
    ]
    told = markdown(rows)
    assert "| song | stem | latency | mixture | constant gain | K=1 | K=all | K=1 over gain | K=1 in pauses |" in told
    assert "| a | vocals | low | -1.50 | 2.00 | 6.00 | 6.00 | 4.00 | -20.0 |" in told
    assert "| quiet | vocals | standard | – | – | – | – | – | -3.0 |" in told
    assert "| here | vocals | K=all | low | 1 | 6.00 | 5.00 | 9.00 | 12.00 | 7.00 | -20.0 |" in told
    assert "| here | vocals | mixture |  | 1 | -1.50 | 5.00 |" in told
    tables = [block.splitlines() for block in told.split("\n\n") if block.startswith("|")]
    assert [len(table) for table in tables] == [2 + 6, 2 + 4, 2 + 4]
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_a_live_latency_is_compared_with_the_ideal_mask_of_its_synthesis() -> None:
    rows = [
        replace(ROW, system="constant gain", latency=None, sdr_db=2.0),
        replace(ROW, system="ideal mask", sdr_db=11.0),
        *(replace(ROW, latency=latency, sdr_db=sdr_db) for latency, sdr_db in (("93", 6.0), ("162", 7.0))),
    ]
    told = markdown(rows)
    assert "| a | vocals | 93 | 2.00 | 11.00 | 6.00 | 4.00 | -20.0 |" in told
    assert "| a | vocals | 162 | 2.00 | 11.00 | 7.00 | 5.00 | -20.0 |" in told
    assert "| a | vocals | standard |" not in told


def test_only_what_lies_between_the_markers_changes(tmp_path: Path) -> None:
    card = tmp_path / "CARD.md"
    card.write_bytes(f"# Schön\r\n\r\nBefore.\n{BEGIN}\nold\n| 1 |\n{END}\nAfter – it.\n".encode())
    for scores in ("| 2 |", "| 3 |"):
        write_scores(tmp_path, scores)
        expected = f"# Schön\r\n\r\nBefore.\n{BEGIN}\n\n{scores}\n\n{END}\nAfter – it.\n"
        assert card.read_bytes() == expected.encode()
    assert [path.name for path in tmp_path.iterdir()] == ["CARD.md"]


def test_a_model_without_a_card_gets_one(tmp_path: Path) -> None:
    bundle = tmp_path / "toy"
    bundle.mkdir()
    write_scores(bundle, "| 2 |")
    text = (bundle / "CARD.md").read_text()
    assert text.startswith("# toy\n") and "| 2 |" in text
    write_scores(bundle, "| 3 |")
    assert (bundle / "CARD.md").read_text() == text.replace("2", "3")


@pytest.mark.parametrize("text", ["# no markers\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n"])
def test_a_card_without_a_place_for_scores_is_left_as_it_is(text: str, tmp_path: Path) -> None:
    (tmp_path / "CARD.md").write_text(text)
    with pytest.raises(RtsepError, match="CARD.md has no place for the scores"):
        read_card(tmp_path)
    with pytest.raises(RtsepError):
        write_scores(tmp_path, "| 2 |")
    assert (tmp_path / "CARD.md").read_text() == text


def test_a_card_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "CARD.md").write_bytes(b"\xff\xfe")
    with pytest.raises(RtsepError, match="cannot read") as caught:
        read_card(tmp_path)
    assert "\n" not in str(caught.value)
