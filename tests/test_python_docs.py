"""docs/python.md: every example runs as it stands, and the interface that it describes is the one there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import rtsep

DOCS = (Path(__file__).parent.parent / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCS, flags=re.MULTILINE | re.DOTALL)
PROGRAM = "import sys\nfor example in sys.argv[1:]:\n    exec(example, {})\n"


@pytest.mark.usefixtures("default_bundle")
def test_examples_run_and_print_what_they_say(short_wav: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(short_wav, dtype="float32")
    soundfile.write(tmp_path / "song.flac", [*samples, *samples], rate)
    soundfile.write(tmp_path / "other.wav", samples, 48000)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *EXAMPLES], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "song" / "vocals.wav").exists()
    for promised in re.findall(r"print\(.*\)  # (.*)", "".join(EXAMPLES)):
        assert promised in done.stdout.splitlines()
    assert "stopped half-way" in done.stdout


def test_everything_exported_is_described() -> None:
    missing = {name for name in rtsep.__all__ if not re.search(rf"\b{name}\b", DOCS)}
    assert missing <= {"__version__", "ModelInfo"}
    described = set(re.findall(r"\brtsep\.([a-z_]+|[A-Z][A-Za-z]+)\b(?=[( `])", DOCS))
    assert all(hasattr(rtsep, name) for name in described)
