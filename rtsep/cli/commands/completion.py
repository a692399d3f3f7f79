"""`rtsep completion`: completion of commands and options in the user's shell."""

from __future__ import annotations

from typing import Literal

from cyclopts.completion import ShellDetectionError

from rtsep.errors import RtsepError, UsageError
from rtsep.ui.console import put

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Shell | None = None, /) -> None:
    """Install completion of commands and options in your shell, for shells that start from now on.

    Writes one file, whose path is printed, and for bash and zsh a line into the shell's start file.

    Parameters
    ----------
    shell
        Default: the shell that you are using.
    """
    from rtsep.cli.app import build_app  # which knows this module by its name alone

    try:
        path = build_app(()).install_completion(shell=shell)
    except ShellDetectionError:
        raise UsageError("which shell you use is unknown; name it: rtsep completion bash, zsh or fish") from None
    except OSError as error:
        raise RtsepError(f"cannot install completion: {error}") from error
    put(str(path))
