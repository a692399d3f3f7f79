"""The command line as a whole: quick help, one-line errors, exit codes, signals, broken pipes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import rtsep
from rtsep.cli.app import COMMANDS as PLACES
from rtsep.cli.app import GROUPS, build_app
from rtsep.cli.main import main
from rtsep.errors import RtsepError

HEAVY = ("torch", "numba", "numpy")
COMMANDS = [
    "",
    "play",
    "live",
    "separate",
    "devices",
    "doctor",
    "train",
    "eval",
    "models",
    "models list",
    "models check",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_there_and_imports_nothing_heavy(command: str) -> None:
    program = (
        "import sys; from rtsep.cli.main import main\n"
        f"code = main({[*command.split(), '--help']!r})\n"
        f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules], code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert f"Usage: rtsep {command}".strip() in done.stdout, done.stderr
    assert "HEAVY [] 0" in done.stdout


def test_every_command_has_its_own_long_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["separate", "--help"]) == 0
    assert "OUT/NAME/STEM.wav" in capsys.readouterr().out
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS if " " not in name)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == rtsep.__version__


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["seperate", "x"], "did you mean separate?"),
        (["models", "lst"], "did you mean list?"),
        (["zzz"], "the commands are play, live, separate"),
        (["devices", "--jsn"], "--jsn"),
        (["separate", "-o", "x"], "FILES"),
        (["separate", "a.wav"], "--out"),
        (["separate", "a.wav", "-o", "x", "--chunk", "many"], "many"),
        (["separate", "a.wav", "-o", "x", "--chunk", "0"], "--chunk 0: expected 1 to 32"),
        (["separate", "a.wav", "-o", "x", "--compute", "gpu"], "--compute gpu: expected auto, cpu, cuda"),
        (["separate", "", "-o", "x"], "an argument is empty"),
        (["--nonsense"], "--nonsense"),
        (["models", "--json"], "--json"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert said.err.startswith("rtsep: ")
    assert said.err.count("\n") == 1


LONG = "x" * 300  # more than file systems allow


def _pretend(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def raising() -> None:
        raise error

    monkeypatch.setattr("rtsep.cli.commands.devices.devices", raising)


def test_failures_are_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _pretend(monkeypatch, RtsepError("the device is not connected"))
    assert main(["devices"]) == 1
    assert capsys.readouterr().err == "rtsep: the device is not connected\n"


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _pretend(monkeypatch, KeyboardInterrupt())
    assert main(["devices"]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ZeroDivisionError("by\nzero"), "rtsep: internal error: ZeroDivisionError: by zero; run with --debug"),
        (BrokenPipeError("the worker's"), "rtsep: internal error: BrokenPipeError: the worker's; run with --debug"),
        (AssertionError(), "rtsep: internal error: AssertionError; run with --debug"),
        (PermissionError(13, "Permission denied", "a/b"), "rtsep: a/b: Permission denied"),
    ],
)
def test_an_unforeseen_exception_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _pretend(monkeypatch, error)
    with (tmp_path / "stdout").open("w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["devices"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["separate", LONG, "-o", "x"],
        ["separate", "SONG", "-o", LONG],
        ["separate", "SONG", "-o", "x", "--model", LONG],
        ["models", "check", LONG],
        ["models", "import", LONG],
        ["eval", "--data", LONG],
        ["train", LONG, "--data", "x"],
    ],
)
def test_a_name_that_is_too_long_is_one_line(
    words: list[str], short_wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(short_wav) if word == "SONG" else word for word in words]) in (1, 2)
    said = capsys.readouterr().err
    assert LONG in said
    assert said.count("\n") == 1
    assert "internal error" not in said


@pytest.mark.parametrize("words", [["--debug", "devices"], ["devices", "--debug"]])
@pytest.mark.parametrize("error", [ZeroDivisionError(), RtsepError("no such thing")])
def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _pretend(monkeypatch, error)
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback")
    assert "in raising" in said
    assert said.splitlines()[-1].startswith("rtsep: ")


def test_every_command_leads_to_a_function() -> None:
    import importlib

    groups = [commands for _, commands in GROUPS.values()]
    for place, _ in [place for commands in (PLACES, *groups) for place in commands.values()]:
        module, _, name = place.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), place


NAMES = ["[2019] Artist - Song.flac", "[1]", '["a"]', "{a}.flac", '{"a": 1}', "null", "1e5", "-5"]
TAKES_A_NAME = [
    ("separate NAME --out x", "files"),
    ("separate --out x -- NAME", "files"),
    ("separate song --out NAME", "out"),
    ("play NAME song", "files"),
    ("live --record NAME", "record"),
    ("live --input NAME", "input"),
    ("eval NAME --data x", "model"),
    ("eval --data NAME song", "data"),
    ("train NAME --data x", "recipe"),
    ("train song --data NAME", "data"),
    ("models check NAME", "names"),
    ("models import NAME", "path"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("line", "argument"), TAKES_A_NAME)
def test_names_are_never_parsed(line: str, argument: str, name: str) -> None:
    words = [name if word == "NAME" else word for word in line.split()]
    _, bound, *_ = build_app(words).parse_args(words, exit_on_error=False, print_error=False)
    options = bound.arguments.get("options")
    value = bound.arguments[argument] if argument in bound.arguments else getattr(options, argument)
    assert str(value[0] if isinstance(value, tuple) else value) == name


@pytest.mark.parametrize("buffering", ["0", ""])
@pytest.mark.parametrize("words", [["--help"], ["devices", "--json"]])
def test_a_closed_pipe_is_not_reported(words: list[str], buffering: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rtsep", *words],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env=os.environ | {"PYTHONUNBUFFERED": buffering},
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_standard_stream_is_the_null_device(number: int) -> None:
    # What the program opens next must not become one of the three, which a child process would take over.
    program = (
        "import os, sys\n"
        "from rtsep.cli.main import main\n"
        "code = main(['devices', '--json'])\n"
        "os.fstat(1)\n"
        "print('here', file=sys.stdout, flush=True)\n"
        "print('here', file=sys.stderr, flush=True)\n"
        "assert sys.stdin.read() == ''\n"
        f"assert os.path.sameopenfile({number}, os.open(os.devnull, os.O_RDONLY)) and os.get_inheritable({number})\n"
        "sys.exit(code + 40)\n"
    )
    closing = ["sh", "-c", f'exec "$0" "$@" {number}>&-', sys.executable, "-c", program]
    done = subprocess.run(closing, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 40, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no hangup")
def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    program = (
        "import signal; from rtsep.cli.main import main\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "assert main(['--version']) == 0\n"
        "assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN != signal.getsignal(signal.SIGTERM)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("buffering", ["1", ""])
@pytest.mark.parametrize("words", [["--version"], ["devices", "--json"]])
def test_a_full_stdout_is_one_line(words: list[str], buffering: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rtsep", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env=os.environ | {"PYTHONUNBUFFERED": buffering},
        )
    assert (done.returncode, done.stderr) == (1, "rtsep: cannot write to stdout: No space left on device\n")


def _start_separating(song: Path, out: Path, model: Path) -> subprocess.Popen[str]:
    """A `separate` that is in the middle of a long file."""
    words = ["separate", str(song), "-o", str(out), "--model", str(model), "--chunk", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rtsep", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    end = time.monotonic() + 60
    while not list(out.glob("*/.*.part")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_separate_leaves_nothing(
    tmp_path: Path, constant_bundle: Callable[..., Path], number: signal.Signals, code: int
) -> None:
    import numpy as np
    import soundfile

    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((44100 * 1200, 1), np.int16), 44100)
    process = _start_separating(song, tmp_path / "out", constant_bundle())
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert (out, err) == ("", "")
    assert not (tmp_path / "out").exists()
