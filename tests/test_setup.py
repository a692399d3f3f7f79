"""scripts/setup.sh announces its downloads before they start."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "setup.sh"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("purpose", "packages"),
    [("play", {"libportaudio2"}), ("test", {"libportaudio2", "pulseaudio", "pulseaudio-utils", "libasound2-plugins"})],
)
def test_packages_of_the_system_are_announced_with_their_size(purpose: str, packages: set[str], tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    (tmp_path / ".venv").touch()  # a file: making the folder fails, so nothing is installed here
    refusing = tmp_path / "apt-get"
    refusing.write_text("#!/bin/sh\nexit 1\n")
    refusing.chmod(0o755)
    done = subprocess.run(
        ["bash", str(tmp_path / "scripts" / "setup.sh"), purpose],
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("setup: Debian packages")]
    assert packages <= set(line.replace(",", " ").split())
    assert line.count(" MB)") == (2 if purpose == "test" else 1)
