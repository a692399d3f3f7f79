"""All commands with their names and one-line helps; the module of a command is imported only when it is called."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence

from cyclopts import App, Parameter

import rtsep
from rtsep.errors import UsageError

COMMANDS = {
    "play": ("rtsep.cli.commands.play:play", "Play songs with a fader for each stem."),
    "live": ("rtsep.cli.commands.live:live", "Separate a live input and play it."),
    "separate": ("rtsep.cli.commands.separate:separate", "Write the stems of audio files."),
    "plot": ("rtsep.cli.commands.plot:plot", "Draw a song before and after separation."),
    "completion": ("rtsep.cli.commands.completion:completion", "Install completion in your shell."),
    "ui": ("rtsep.cli.commands.ui:ui", "Open the player as a page in the browser."),
    "devices": ("rtsep.cli.commands.devices:devices", "List audio devices."),
    "doctor": ("rtsep.cli.commands.doctor:doctor", "Check this machine: versions, devices, speed, problems."),
    "train": ("rtsep.cli.commands.train:train", "Train a model."),
    "eval": ("rtsep.cli.commands.eval:evaluate", "Measure how well a model separates."),
}
"""Name -> place of its function, and its line in `rtsep --help`."""
GROUPS = {
    "models": (
        "List, download, import and check models.",
        {
            "list": ("rtsep.cli.commands.models:list_models", "List the available models."),
            "get": ("rtsep.cli.commands.model_weights:get_model", "Download the weights of a published model."),
            "import": ("rtsep.cli.commands.model_weights:import_model", "Convert a checkpoint of another program."),
            "check": (
                "rtsep.cli.commands.models:check_models",
                "Verify models: checksums and the streaming contract.",
            ),
        },
    ),
    "bench": (
        "Run benchmarks; needs a checkout of the repository.",
        {
            "latency": ("rtsep.cli.commands.bench:latency", "Reported and measured latency, and seek times."),
            "soak": ("rtsep.cli.commands.bench:soak", "A long live run with every sample checked."),
            "throughput": ("rtsep.cli.commands.bench:throughput", "Time per hop by stage, and whole songs."),
            "memory": ("rtsep.cli.commands.bench:memory", "Memory of separate on songs of many hours."),
            "runtimes": ("rtsep.cli.commands.bench:runtimes", "Other runtimes for the network's step."),
            "peers": ("rtsep.cli.commands.bench:peers", "Other separators on the same audio."),
            "networks": ("rtsep.cli.commands.bench:networks", "The cost of each network, on files and live."),
            "spleeter": ("rtsep.cli.commands.bench:spleeter", "Equality with Spleeter, and its speed."),
            "model": (
                "rtsep.cli.commands.bench:model",
                "A model's speed, and its behaviour at other levels, in silence and over time.",
            ),
            "corrector": ("rtsep.cli.commands.bench:corrector", "Cost and precision of the clock corrector."),
        },
    ),
}
EPILOGUE = (
    "Every command takes --debug, which adds the traceback of an error. "
    "Exit codes: 0 success, 1 failure, 2 usage error, 3 some of several files failed, 130 interrupted.\n"
)


def build_app(words: Sequence[str]) -> App:
    """Return the command line; only the command that `words` name is imported.

    Raises UsageError if they name a command that does not exist.
    """
    wanted = words[0] if words else ""
    app = App(
        name="rtsep",
        help="Separate music into stems while it plays.",
        help_epilogue=None if wanted in {*COMMANDS, *GROUPS} else EPILOGUE,
        version=rtsep.__version__,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        # File names may begin with [ or {.
        default_parameter=Parameter(json_list=False, json_dict=False),
    )
    _check_word("rtsep", wanted, [*COMMANDS, *GROUPS])
    _register(app, COMMANDS, wanted)
    for group, (text, commands) in GROUPS.items():
        inner = words[1] if wanted == group and len(words) > 1 else ""
        _check_word(f"rtsep {group}", inner, [*commands])
        _register(app.command(App(name=group, help=text)), commands, inner)
    return app


def _check_word(parent: str, word: str, commands: list[str]) -> None:
    """UsageError unless `word` may follow `parent`; cyclopts would import all commands to find similar names."""
    if not word or word in commands or word in ("--help", "-h", "--version"):
        return
    if word.startswith("-"):
        raise UsageError(f"unknown option {word}; see {parent} --help")
    near = difflib.get_close_matches(word, commands, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(commands)}"
    raise UsageError(f'unknown command "{parent} {word}"; {hint}')


def _register(parent: App, commands: dict[str, tuple[str, str]], wanted: str) -> None:
    for name, (place, text) in commands.items():
        if name == wanted:
            # As the function itself, which makes its whole docstring the help of `rtsep NAME --help`.
            module, _, function = place.partition(":")
            parent.command(getattr(importlib.import_module(module), function), name=name)
        else:
            parent.command(place, name=name, help=text)
