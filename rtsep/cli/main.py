"""The command line. Commands are imported only when called, so that `rtsep --help` answers at once.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some of several files failed, 130 interrupted, 128 +
the number of another signal that ended it.
stdout carries data, stderr everything that is said to a person.
"""

import contextlib
import difflib
import errno
import importlib
import os
import select
import signal
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

import rtsep
from rtsep.errors import ArgumentError, RtsepError, UsageError
from rtsep.system.priority import use_passive_waiting
from rtsep.ui.console import make_streams_safe, say

_COMMANDS = {
    "play": ("rtsep.cli.commands.play:play", "Play a song and ride its stems' faders."),
    "live": ("rtsep.cli.commands.live:live", "Separate what an input hears, and play it."),
    "separate": ("rtsep.cli.commands.separate:separate", "Write the stems of audio files."),
    "devices": ("rtsep.cli.commands.devices:devices", "List the sound devices."),
    "doctor": ("rtsep.cli.commands.doctor:doctor", "Say how well this machine can do it, and what is wrong."),
    "train": ("rtsep.cli.commands.train:train", "Train a model."),
    "eval": ("rtsep.cli.commands.eval:evaluate", "Measure how well a model separates."),
}
_GROUPS = {
    "models": (
        "List, fetch and check models.",
        {
            "list": ("rtsep.cli.commands.models:list_models", "List the models that are here."),
            "get": ("rtsep.cli.commands.model_weights:get_model", "Fetch weights that a model's author published."),
            "import": ("rtsep.cli.commands.model_weights:import_model", "Make a model of weights from elsewhere."),
            "check": (
                "rtsep.cli.commands.models:check_models",
                "Verify models: checksum, and the contract that streaming rests on.",
            ),
        },
    ),
    "bench": (
        "Measure latency, soaks, throughput and peers, from a checkout.",
        {
            "latency": ("rtsep.cli.commands.bench:latency", "Latency told against latency measured; jumps."),
            "soak": ("rtsep.cli.commands.bench:soak", "Live for a long time, every sample judged."),
            "throughput": ("rtsep.cli.commands.bench:throughput", "Hops stage by stage, and whole songs."),
            "runtimes": ("rtsep.cli.commands.bench:runtimes", "Other runtimes for a network's step."),
            "peers": ("rtsep.cli.commands.bench:peers", "Other separators on the same sound."),
            "networks": ("rtsep.cli.commands.bench:networks", "What every network costs, in files and live."),
            "spleeter": ("rtsep.cli.commands.bench:spleeter", "Equality with Spleeter itself, and its speed."),
            "model": (
                "rtsep.cli.commands.bench:model",
                "Whether a model behaves: speed, level, silence, drift, pauses.",
            ),
            "corrector": ("rtsep.cli.commands.bench:corrector", "The clock corrector: cost and precision."),
        },
    ),
}


def build_app(words: Sequence[str]) -> App:
    """All commands with their names and one-line helps; only the module that `words` ask for is imported.

    UsageError if they ask for a command that is not there.
    """
    app = App(
        name="rtsep",
        help="Separate music into stems while it plays.",
        version=rtsep.__version__,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    wanted = words[0] if words else ""
    _check_word("rtsep", wanted, [*_COMMANDS, *_GROUPS])
    _register(app, _COMMANDS, wanted)
    for group, (text, commands) in _GROUPS.items():
        inner = words[1] if wanted == group and len(words) > 1 else ""
        _check_word(f"rtsep {group}", inner, [*commands])
        _register(app.command(App(name=group, help=text)), commands, inner)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. Anything unforeseen is a bug and keeps its traceback."""
    _open_standard_streams()
    make_streams_safe()
    words = list(sys.argv[1:] if arguments is None else arguments)
    _unwind_on_termination()
    use_passive_waiting()
    try:
        code = build_app(words)(words, exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        return _fail(UsageError(_one_line(error)))
    except RtsepError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if not _stdout_is_broken(error):
            raise
        if isinstance(error, BrokenPipeError):  # the reader has gone (`rtsep devices | head -1`): no error of ours
            return 1
        return _fail(RtsepError(f"cannot write to stdout: {error.strerror}"))


def _open_standard_streams() -> None:
    """Make those that are closed (`rtsep ... <&-`) the null device, or the next file opened would be one of them."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good


def _check_word(parent: str, word: str, commands: list[str]) -> None:
    """UsageError unless `word` may follow `parent`; cyclopts would import all commands to find near names."""
    if not word or word in commands or word in ("--help", "-h", "--version"):
        return
    if word.startswith("-"):
        raise UsageError(f"unknown option {word} ({parent} --help tells more)")
    near = difflib.get_close_matches(word, commands, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(commands)}"
    raise UsageError(f'{parent} has no command "{word}"; {hint}')


def _register(parent: App, commands: dict[str, tuple[str, str]], wanted: str) -> None:
    for name, (place, text) in commands.items():
        if name == wanted:
            # As the function itself, which makes its whole docstring the help of `rtsep NAME --help`.
            module, _, function = place.partition(":")
            parent.command(getattr(importlib.import_module(module), function), name=name)
        else:
            parent.command(place, name=name, help=text)


def _fail(error: RtsepError) -> int:
    say(error.as_option() if isinstance(error, ArgumentError) else error)
    return error.exit_code


def _one_line(error: CycloptsError) -> str:
    """What cyclopts says, without line breaks, and where to read on."""
    command = " ".join(["rtsep", *(error.command_chain or ())])
    return f"{' '.join(str(error).split())} ({command} --help tells more)"


def _unwind_on_termination() -> None:
    """Let SIGTERM, and SIGHUP of a terminal that is closed, unwind like Ctrl-C.

    Recordings get their names, half-written files go away, the worker is sent home. What `nohup` ignores stays ignored.
    """
    numbers = [signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else [])]

    def leave(number: int, frame: object) -> None:
        for each in numbers:  # a closed terminal's comes from its shell and from the kernel; one unwinding will do
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    with contextlib.suppress(ValueError):  # not the main thread: whoever called owns the signals
        for number in numbers:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, leave)


def _stdout_is_broken(error: OSError) -> bool:
    """Whether `error` comes from stdout, whose reader has gone or whose disk is full; stdout is then given up."""
    # Unbuffered, nothing is left over that a flush could trip over.
    broken = error.errno == errno.ENOSPC and error.filename is None
    try:
        sys.stdout.flush()
        if isinstance(error, BrokenPipeError) and hasattr(select, "poll"):
            poll = select.poll()
            poll.register(sys.stdout.fileno(), select.POLLOUT)
            broken = any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except OSError:
        broken = True
    if broken:
        # Python flushes once more at exit, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return broken
