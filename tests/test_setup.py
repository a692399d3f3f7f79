"""scripts/setup.sh announces its downloads before they start."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "setup.sh"


pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


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


def test_without_spleeters_weights_the_set_up_goes_on_and_says_what_is_missed(tmp_path: Path) -> None:
    """All is installed already: pip has nothing to do, but no index to get the weights from either."""
    for name in ("scripts/setup.sh", "constraints.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(SCRIPT.parent.parent / name, tmp_path / name)
    programs = {
        "python": f'case "$*" in *"pip install"*) exit 0;; esac; exec {sys.executable} "$@"',
        "rtsep": f'exec {sys.executable} -m rtsep "$@"',
        "apt-get": "exit 1",
    }
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name, script in programs.items():
        (tmp_path / ".venv" / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)
    unreachable = {
        "GITHUB_HOST": "http://127.0.0.1:9",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": (tmp_path / "no-index").as_uri(),
        "PYTHONPATH": str(SCRIPT.parent.parent),
        "RTSEP_MODEL_DIR": str(tmp_path / "models"),
    }
    done = subprocess.run(
        ["bash", str(tmp_path / "scripts" / "setup.sh"), "play"],
        env=os.environ | {"PATH": f"{tmp_path / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"} | unreachable,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    before, _, after = done.stdout.partition("spleeter-2stems  Spleeter weights, 73.1 MB")
    assert "Spleeter's two-stem model (73 MB, MIT, Deezer)" in before
    assert "cannot download http://127.0.0.1:9/" in done.stderr
    assert after.splitlines()[-1].startswith("setup: without these weights the bundled model plays")
    assert (tmp_path / ".venv" / "ready-play").exists()
    assert not list(tmp_path.glob("models/*/weights.safetensors"))
