"""`rtsep bench` runs the benchmarks of a checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import rtsep
from rtsep.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["latency", "--input", "mic"], 2, "must be used together"),
        (["latency", "--seconds", "1"], 2, "--seconds 1: expected 3 or more"),
        (["soak", "--minutes", "nan"], 2, "--minutes nan"),
        (["throughput", "--hops", "1"], 2, "--hops 1"),
        (["memory", "--hours", "0"], 2, "--hours 0: expected 0.05 or more"),
        (["throughput", "--model", "nothing-like-it"], 1, "nothing-like-it"),
        (["runtimes", "--frames", "31"], 2, "--frames 31"),
        (["peers", "--install", "winamp"], 2, "--install winamp: expected hs-tasnet, demucs, spleeter"),
        (["model", "x", "--data", "y", "--minutes", "1"], 2, "--minutes 1: expected 2 or more"),
        (["model", "nothing-like-it", "--data", "y"], 1, "nothing-like-it"),
        (["spleeter", "--seconds", "0"], 2, "--seconds 0: expected 1 or more"),
        (["spleeter", "--out", "/nowhere"], 1, "rtsep bench spleeter --install"),
        (["zzz"], 2, "the commands are latency, soak, throughput, memory, runtimes, peers"),
    ],
)
def test_impossible_measurements_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert main(["bench", *arguments]) == code
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_without_a_checkout_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(rtsep, "__file__", str(tmp_path / "site-packages" / "rtsep" / "__init__.py"))
    assert main(["bench", "throughput"]) == 1
    assert "needs a checkout" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, rtsep.cli.main as m; m.main(['bench', 'soak', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numba", "numpy", "benches"} & set(done.stdout.split())


@pytest.mark.usefixtures("default_bundle")
def test_missing_peers_are_skipped_with_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "peers", "--seconds", "1", "--out", str(tmp_path)]) == 0
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["hs-tasnet", "demucs", "spleeter"]
    told = json.loads((tmp_path / "peers.json").read_text())
    assert [row["separator"].split(", ")[1] for row in told["tables"][0]["rows"]] == ["K = 1", "K = 32"]
    assert all(0 < row["p50 ms"] <= row["max ms"] for row in told["tables"][0]["rows"])


@pytest.mark.usefixtures("default_bundle")
def test_missing_runtimes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "runtimes", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == ("rtsep: runtimes is not installed: run rtsep bench runtimes --install\n")
    assert not list(tmp_path.iterdir())
