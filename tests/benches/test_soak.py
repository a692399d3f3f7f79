"""A soak is judged by what was heard, through virtual devices, and ends when the user wants."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benches.soak import messages
from tests.conftest import REPOSITORY
from tests.virtual_audio import why_not


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.usefixtures("default_bundle")
def test_a_soak_ended_by_ctrl_c_reports_what_was_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rtsep", "bench", "soak", "--minutes", "30", "--out", str(tmp_path)]
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as bench:
        assert bench.stderr is not None
        while "measuring" not in (line := bench.stderr.readline()):
            assert line, "it ended before it measured anything"
        time.sleep(4)
        bench.send_signal(signal.SIGINT)
        out, err = bench.communicate(timeout=60)
    assert bench.returncode == 130, err
    assert "Traceback" not in err
    assert "ended early" in err
    report = json.loads((tmp_path / "soak.json").read_text())
    facts = {row["what"]: row["value"] for row in report["tables"][0]["rows"]}
    assert facts["samples checked"] > 44100
    assert facts["hops separated"] > 20
    assert facts["worker memory at the end, MiB"] > 50
    if os.geteuid() == 0:  # who may take the highest priority
        assert facts["machine stalls of 5 ms or more"] >= 0
        assert facts["faults within 1 s of a stall"] <= facts["faults (runs of such samples)"]
    print(out)
    assert (tmp_path / "soak-timeline.png").exists()
    assert (tmp_path / "soak-hops.png").exists()


def test_every_message_of_the_player_appears_once() -> None:
    """Conditions come and go, and of what happened only the last hundred lines are kept."""
    kept = [f"stems were late, {number}" for number in range(100)]
    reports = [
        {"messages": ["the recording failed"], "notices": ["too slow", *kept], "news": ["before it counted"]},
        {"messages": ["the recording failed"], "notices": kept, "news": []},
        {"messages": ["the recording failed"], "notices": [*kept[1:], "device lost"], "news": ["device lost"]},
    ]
    assert messages(reports) == ["the recording failed", "device lost"]
