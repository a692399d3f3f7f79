"""The errors that a user sees: one clear line each, saying what is wrong and what to do.

Commands catch `RtsepError`, print its text on stderr and end with its `exit_code`. A programmer's mistake
(wrong shape, wrong type) is a `ValueError` instead and keeps its traceback.
"""


class RtsepError(Exception):
    """Something outside the program is wrong (file, device, model). Its text is one line for the user."""

    exit_code = 1


class UsageError(RtsepError):
    """The command line asks for something impossible or contradictory."""

    exit_code = 2


class UnsuitableDevice(RtsepError):
    """The sound device is there and works, and yet it will not do: it has too few channels."""


class DeviceLost(RtsepError):
    """The device that computed is gone or has failed: this process can compute nothing on it any more."""


class MissingWeights(RtsepError):
    """A model is there, but its weights are not: its author has them, or it is still to be trained."""


class MissingPackage(RtsepError):
    """A model is there, but not the Python package that computes it."""


def one_line(said: object) -> str:
    """What another program, a server or a file says, fit for a line on a terminal: printable, and not endless."""
    text = " ".join(str(said).split()) or type(said).__name__
    return "".join(letter for letter in text if letter.isprintable())[:120]
