"""Without PyTorch: rtsep plays, separates and checks its own models, and names the remedy for everything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.bundle import Bundle
from rtsep.separation.backends.check import check_stepper
from rtsep.separation.backends.choose import load_stepper

REMEDY = "needs PyTorch, which is not installed: pip install 'rtsep[torch]'\n"


@pytest.fixture
def without_torch(tmp_path: Path, silent_environment: dict[str, str]) -> dict[str, str]:
    """The environment for processes, and for those that they start, in which PyTorch cannot be imported."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    root = Path(rtsep.__file__).parent.parent
    return silent_environment | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "hook"), str(root)])}


PROGRAM = """
import json, sys
import rtsep
from rtsep.cli.main import main

def load_and_separate():
    import numpy
    stems = rtsep.separate(numpy.zeros((2, 44100), numpy.float32), 44100)
    try:
        rtsep.load("spleeter-2stems")
    except rtsep.MissingPackage as error:
        print(list(stems), error)

for words in json.loads(sys.argv[1]):
    print(main(words) if words else load_and_separate(), flush=True)
    print("---", flush=True)
    print("---", file=sys.stderr, flush=True)
"""


def run(commands: list[list[str]], environment: dict[str, str], folder: Path) -> list[tuple[str, str]]:
    """What each command says on stdout, with its exit code behind it, and on stderr. All of them in one process."""
    soundfile.write(folder / "song.wav", np.zeros((44100, 2)), 44100)
    words = [sys.executable, "-c", PROGRAM, json.dumps(commands)]
    done = subprocess.run(words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return list(zip(done.stdout.split("---\n")[:-1], done.stderr.split("---\n")[:-1], strict=True))


@pytest.mark.usefixtures("default_bundle")
def test_what_needs_no_torch_works_without_it(without_torch: dict[str, str], tmp_path: Path) -> None:
    expected = {
        "play song.wav": "out/song/vocals.wav",
        "separate song.wav -o stems": "stems/song/vocals.wav",
        "live --help": "rtsep live",
        "models list": "spleeter-2stems",
        "models check": "frame-transformer-2stems: ok",
        "doctor --json": '"compute": "cpu"',
        "": f"['vocals', 'instrumental'] spleeter-2stems {REMEDY}",
    }
    said = run([command.split() for command in expected], without_torch, tmp_path)
    for (command, text), (stdout, stderr) in zip(expected.items(), said, strict=True):
        assert text in stdout, (command, stderr)
        assert stdout.endswith("0\n" if command else "None\n"), (command, stderr)


def test_what_needs_torch_says_so_in_one_line(without_torch: dict[str, str], tmp_path: Path) -> None:
    users = {
        "separate song.wav -o stems --model htdemucs": "htdemucs",
        "separate song.wav -o stems --compute cuda": "device 'cuda'",
        "play song.wav --model spleeter-2stems": "spleeter-2stems",
        "models import song.wav": "this command",
        "train recipe.toml --data .": "this command",
        "eval --data .": "this command",
    }
    commands = [command.split() for command in users]
    for user, (stdout, stderr) in zip(users.values(), run(commands, without_torch, tmp_path), strict=True):
        assert stdout == "1\n"
        assert stderr.endswith(f"rtsep: {user} {REMEDY}"), stderr


def test_the_check_without_torch_finds_what_is_broken(default_bundle: Path) -> None:
    stepper = load_stepper(Bundle(default_bundle), "cpu")
    assert check_stepper(stepper) == []
    assert isinstance(vars(stepper)["_energies"], np.ndarray)
    vars(stepper)["_memory"].pop(1)  # the energies are forgotten by no reset and in no snapshot
    assert any("reset" in problem for problem in check_stepper(stepper))
    vars(stepper)["_mean"][5] = np.nan
    assert check_stepper(stepper) == ["masks at chunk 1 are not finite"]
