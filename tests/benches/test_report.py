"""What a bench leaves behind, and the document made of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benches import document
from benches.pictures import histogram, timeline
from benches.report import Report, Table, markdown, tail


def test_a_report_is_written_as_json_markdown_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("tried", "A trial", "one")
    report.add(Table("Times", [{"who": "me", "hops": 3, "late": None} | tail([1.0, 2.0, 40.0])], "A note."))
    report.problem("the moon was not in reach")
    histogram(report, tmp_path, "hops.png", "Hops", {"me": np.array([1.0, 2.0, 40.0])})
    timeline(report, tmp_path, "time.png", "Time", [0, 60], {"ms": {"slowest": [1.0, 2.0]}, "count": {"late": [0, 1]}})
    report.write(tmp_path)
    plain = json.loads((tmp_path / "tried.json").read_text())
    text = (tmp_path / "tried.md").read_text()
    assert plain["tables"][0]["rows"][0]["max ms"] == 40.0
    assert {"processor", "cores", "memory", "system"} == set(plain["machine"])
    for said in (plain["command"], plain["versions"]["torch"], plain["machine"]["processor"], "A note.", "the moon"):
        assert said in text
    assert "| me | 3 | - | 2.00 |" in text
    for picture in ("hops.png", "time.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
        assert f"({picture})" in text
    assert "| me | 3 | - |" in capsys.readouterr().out


@pytest.mark.parametrize(("value", "text"), [(0.04321, "0.043"), (4.321, "4.32"), (43.21, "43.2"), (-432.1, "-432")])
def test_numbers_have_three_digits_or_so(value: float, text: str) -> None:
    assert f"| {text} |" in markdown(Table("", [{"ms": value}]))


def test_the_document_is_what_its_json_makes() -> None:
    assert document.DOCUMENT.read_text(encoding="utf-8") == document.document(document.KEPT)


def test_new_results_are_taken_over_and_old_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(document, "DOCUMENT", tmp_path / "document.md")
    monkeypatch.setattr("sys.argv", ["document", str(tmp_path / "new")])
    assert document.main() == 1
    for name in ("soak", "peers"):
        report = Report(name, f"The {name}", "one")
        histogram(report, tmp_path / "new", f"{name}.png", name, {"a": np.ones(2)})
        report.write(tmp_path / "new")
        assert document.main() == 0
        (tmp_path / "new" / f"{name}.json").unlink()
    text = (tmp_path / "document.md").read_text()
    assert text.index("## The soak") < text.index("## The peers")
    assert "(benchmarks/soak.png)" in text
    assert (tmp_path / "kept" / "peers.png").exists()
