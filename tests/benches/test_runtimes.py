"""Runtimes that fail cost nothing but their own line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benches.peer_programs import runtimes
from benches.report import SONG


def _run(bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict:
    monkeypatch.setattr(sys, "argv", ["runtimes", str(bundle), str(SONG), "40", "1", "4"])
    runtimes.main()
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_way_that_fails_at_its_first_step_is_a_line_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], constant_bundle: Callable[..., Path]
) -> None:
    def broken(*_: object) -> runtimes.Step:
        def step(magnitudes: np.ndarray) -> np.ndarray:
            raise RuntimeError("no such kernel\nand more")

        return step

    monkeypatch.setattr(runtimes, "compiled", broken)
    monkeypatch.setattr(runtimes, "exported", lambda *_: 1 / 0)
    told = _run(constant_bundle(vocals=0.3, instrumental=0.7), monkeypatch, capsys)
    assert "rtsep compiled, K = 1: no such kernel" in told["problems"]
    assert [(row["chunk"], row["way"]) for row in told["rows"]] == [
        (chunk, f"PyTorch {dtype}") for chunk in (1, 4) for dtype in ("fp32", "bf16")
    ]
    assert [len(row["times_ms"]) for row in told["rows"]] == [35, 35, 5, 5]
    assert {row["sdr_cost_db"] for row in told["rows"] if row["way"] == "PyTorch fp32"} == {0.0}
    assert {*told["versions"]} <= {"onnxruntime", "openvino"}


def test_without_anything_to_compare_with_the_lines_say_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], constant_bundle: Callable[..., Path]
) -> None:
    monkeypatch.setattr(runtimes, "eager", lambda *_: 1 / 0)
    monkeypatch.setattr(runtimes, "exported", lambda *_: 1 / 0)
    told = _run(constant_bundle(), monkeypatch, capsys)
    assert told["rows"] == []
    assert "PyTorch fp32, K = 4: division by zero" in told["problems"]


def test_the_cost_is_that_of_the_error() -> None:
    assert runtimes.cost_db(np.array([1.0, 10.0]), np.array([1.0, 1.0])) == 5.0
    assert runtimes.cost_db(np.array([np.nan, 1.0]), np.array([1.0, 1.0])) is None
