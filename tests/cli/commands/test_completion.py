"""`rtsep completion`: what it installs completes, in the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rtsep.cli.main import main

BASH = """
source "$1"
COMP_WORDS=(rtsep sep); COMP_CWORD=1; _rtsep; echo "${COMPREPLY[@]}"
COMP_WORDS=(rtsep live --lat); COMP_CWORD=2; _rtsep; echo "${COMPREPLY[@]}"
"""
FISH = "source $argv[1]; complete -C 'rtsep sep'; complete -C 'rtsep live --lat'"


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_commands_and_options_are_completed(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}: apt-get install {shell}")
    for name, value in {"HOME": str(tmp_path), "ZDOTDIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    assert main(["completion", shell]) == 0
    path = capsys.readouterr().out.strip()
    assert Path(path).is_relative_to(tmp_path)
    if shell == "zsh":  # its completion needs a terminal: the file must be one that zsh reads
        subprocess.run(["zsh", "-n", path], check=True)
        assert "--latency" in Path(path).read_text()
        return
    arguments = ["bash", "-c", BASH, "-", path] if shell == "bash" else ["fish", "--no-config", "-c", FISH, path]
    lines = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["separate", "--latency"]
