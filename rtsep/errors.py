"""The errors that a user sees: one clear line each, saying what is wrong and what to do.

Commands catch `RtsepError`, print its text on stderr and end with its `exit_code`. An array of the wrong shape or type
raises `ValueError` instead and keeps its traceback.
"""

import importlib.util


class RtsepError(Exception):
    """Something outside the program is wrong (file, device, model). Its text is one line for the user."""

    exit_code = 1


class UsageError(RtsepError):
    """An argument or option, or a combination of them, is not possible."""

    exit_code = 2


class ArgumentError(UsageError, ValueError):
    """The value of an argument is not possible: ``chunk=40: expected 1 to 32 frames``."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"{name}={value!r}: expected {expected}")
        self.name, self.value, self.expected = name, value, expected

    def __reduce__(self) -> tuple[object, ...]:
        return ArgumentError, (self.name, self.value, self.expected)

    def as_option(self) -> UsageError:
        """The same error about the command line's option: ``--chunk 40: expected 1 to 32 frames``."""
        option = "compute" if self.name == "device" else self.name.replace("_", "-")  # a device makes sound there
        return UsageError(f"--{option} {self.value}: expected {self.expected}")


class Cancelled(Exception):
    """`cancel` ended a separation. Not an RtsepError: nothing is wrong, and no song has failed."""


class UnsuitableDevice(RtsepError):
    """The sound device exists but cannot be used: it has too few channels."""


class DeviceLost(RtsepError):
    """The CUDA device is gone or has failed. This process cannot compute on it again."""


class BrokenNetwork(RtsepError):
    """The network's output is NaN or infinite though its input is not."""


class MissingWeights(RtsepError):
    """The model's weights are not on this machine: they are to be downloaded, imported or trained first."""


class MissingPackage(RtsepError):
    """A Python package is not installed. The text ends with the command that installs it."""


def no_torch(user: str) -> str:
    """The message that `user`, a model or command, needs PyTorch and it is not installed."""
    return f"{user} needs PyTorch, which is not installed: pip install 'rtsep[torch]'"


def has_torch() -> bool:
    """Whether PyTorch is installed; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def require_torch(user: str) -> None:
    """Raise MissingPackage unless PyTorch is installed. `user` is what needs it, named in the message."""
    if not has_torch():
        raise MissingPackage(no_torch(user))


def one_line(said: object) -> str:
    """The text of another program, server or file, fit for one line of a terminal: at most 120 printable characters."""
    text = " ".join(str(said).split()) or type(said).__name__
    return "".join(letter for letter in text if letter.isprintable())[:120]
