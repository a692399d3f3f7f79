"""The command line: arguments in, exit code out.

Exit codes: 0 success, 1 failure, 2 usage error, 3 some of several files failed, 130 interrupted, 128 + the number of
another signal that ended the program. stdout carries data, stderr messages for people.
"""

import contextlib
import errno
import os
import re
import select
import signal
import sys
import traceback
from collections.abc import Sequence

from cyclopts import CycloptsError

from rtsep.cli.app import build_app
from rtsep.errors import ArgumentError, MissingPackage, RtsepError, UsageError, no_torch, one_line
from rtsep.system.priority import use_passive_waiting
from rtsep.ui.console import make_streams_safe, say, write_lines

_OPTION = re.compile(r"--?[A-Za-z][A-Za-z0-9-]*(=.*)?|--", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. No exception escapes: each ends in one line on stderr."""
    _open_standard_streams()
    make_streams_safe()
    words, debug = _without_debug(list(sys.argv[1:] if arguments is None else arguments))
    _unwind_on_termination()
    use_passive_waiting()
    try:
        if "" in words:
            raise UsageError("an argument is empty: an empty shell variable?")
        code = build_app(words)(_with_file_names(words), exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, OSError) and _stdout_is_broken(error):
            if isinstance(error, BrokenPipeError):  # the reader has gone (`rtsep devices | head -1`): no error of ours
                return 1
            error = RtsepError(f"cannot write to stdout: {error.strerror}")
        return _fail(error, debug)


def _open_standard_streams() -> None:
    """Make those that are closed (`rtsep ... <&-`) the null device, or the next file opened would be one of them."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good


def _without_debug(words: list[str]) -> tuple[list[str], bool]:
    """The words without `--debug`, which may stand anywhere before `--`; whether it was there."""
    end = words.index("--") if "--" in words else len(words)
    options = [word for word in words[:end] if word != "--debug"]
    return options + words[end:], len(options) < end


def _with_file_names(words: list[str]) -> list[str]:
    """Write `./-5.flac` for `-5.flac`, and so on: what cannot be an option and exists is a file. `-` is one always."""
    return [
        f"./{word}"
        if word == "-" or (word.startswith("-") and not _OPTION.fullmatch(word) and os.path.lexists(word))
        else word
        for word in words
    ]


def _fail(error: Exception, debug: bool) -> int:
    """Say what ended the command in one line, and return its exit code."""
    if isinstance(error, CycloptsError):
        error = _usage_error(error)
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        error = MissingPackage(no_torch("this command"))
    if isinstance(error, OSError) and isinstance(
        error.filename, str | bytes | os.PathLike
    ):  # a file's, no fault of ours
        error = RtsepError(f"{os.fsdecode(error.filename)}: {error.strerror}")
    if debug and not isinstance(error, UsageError):
        write_lines("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, RtsepError):
        say(error.as_option() if isinstance(error, ArgumentError) else error)
        return error.exit_code
    what = f"{type(error).__name__}: {one_line(error)}" if str(error) else type(error).__name__
    advice = "please report it with the traceback above" if debug else "run with --debug for details, and please report"
    say(f"internal error: {what}; {advice}")
    return 1


def _usage_error(error: CycloptsError) -> UsageError:
    """What cyclopts says, in one line, and where to read on."""
    command = " ".join(["rtsep", *(error.command_chain or ())])
    return UsageError(f"{' '.join(str(error).split()).rstrip('.')}; see {command} --help")


def _unwind_on_termination() -> None:
    """Let SIGTERM, and SIGHUP of a terminal that is closed, unwind like Ctrl-C.

    Recordings get their names, half-written files are removed, the worker ends. What `nohup` ignores stays ignored.
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
