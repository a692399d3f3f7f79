"""Which room of the package may use which.

Arrows run one way: cli -> ui, player -> engine -> separation -> dsp, nn -> shared; audio -> dsp, shared;
train -> nn, dsp, audio.files. Every arrow that is allowed is used.
And torch stays out of the process that plays.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rtsep"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))

# Rooms whose modules a room may import, besides its own and those for all. A room inside a room is named where its
# arrows differ: `audio.files` reads files, and has nothing to do with devices.
MAY_USE = {
    "errors": set(),
    "files": set(),
    "timebase": set(),
    "shared": set(),
    "system": set(),
    "dsp": {"shared", "timebase"},
    "nn": set(),
    "audio": {"dsp", "shared", "system", "timebase"},
    "audio.files": {"timebase"},
    "train_settings": set(),
    "recipe": {"train_settings"},
    "live_settings": {"recipe", "timebase"},
    "bundle": {"recipe", "live_settings", "nn"},
    "model_list": {"bundle"},
    "convert": {"nn", "shared", "recipe", "train_settings", "bundle"},
    "separation": {"separation.backends", "audio.files", "dsp", "nn", "system", "timebase", "bundle", "live_settings"},
    "separation.backends": {"shared", "nn", "bundle"},
    "batch": {"separation", "separation.backends", "audio.files", "system", "timebase", "bundle"},
    "engine": {"separation", "separation.backends", "shared", "system", "timebase", "bundle", "live_settings"},
    "player": {
        *("engine", "separation", "separation.backends", "audio", "audio.files", "dsp", "shared", "system", "timebase"),
        "live_settings",
    },
    "train": {"nn", "dsp", "audio.files", "timebase", "recipe", "train_settings", "bundle"},
    "control": {"audio", "player", "system", "timebase"},
    "ui": {"timebase", "control"},
    "web": {"control", "player", "audio", "audio.files", "shared", "system", "timebase"},
    "cli": {
        *(
            "ui",
            "web",
            "control",
            "player",
            "engine",
            "batch",
            "separation",
            "separation.backends",
            "audio",
            "audio.files",
        ),
        *("dsp", "shared", "system", "timebase", "nn", "train", "convert", "recipe", "bundle", "live_settings"),
    },
    "": {"cli"},  # rtsep itself, `python -m rtsep` and `python -m rtsep.train`
}
FOR_ALL = {"errors", "files", ""}

# What may import torch as soon as it is imported itself.
TORCH_AT_HOME = (
    "rtsep.nn",
    "rtsep.train",
    "rtsep.convert",
    "rtsep.separation.backends.pytorch",
    "rtsep.separation.segment_separator",
    "rtsep.separation.song_separator",
    "rtsep.cli.commands.train",
)
# What may import it, or one of those, only inside a function, which the playing process never calls.
TORCH_ON_CALL = ("rtsep.bundle", "rtsep.separation.backends.choose", "rtsep.separation.load", "rtsep.cli")

LIGHT = ("rtsep", "rtsep.cli.main", "rtsep.control.table", "rtsep.ui.keyboard", "rtsep.cli.session.session")
PLAYING = (
    "rtsep.audio",
    "rtsep.dsp",
    "rtsep.player",
    "rtsep.control",
    "rtsep.ui",
    "rtsep.engine.live_engine",
    "rtsep.cli.session.play_session",
    "rtsep.cli.session.live_session",
)


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {dotted(path) for path in MODULES}


def room(module: str) -> str:
    """`engine` of `rtsep.engine.worker`; empty for the package itself and for what `python -m` starts."""
    parts = module.split(".")[1:]
    if not parts or parts[-1] == "__main__":
        return ""
    inner = ".".join(parts[:2])
    return inner if inner in MAY_USE else parts[0]


def imports(path: Path) -> Iterator[tuple[str, bool, int]]:
    """Every import for use at run time: absolute module, whether it waits for a call, line."""

    def walk(node: ast.AST, on_call: bool) -> Iterator[tuple[str, bool, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, on_call, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: relative import"
                assert child.module is not None
                for alias in child.names:
                    # `from rtsep.dsp import rings` imports the module rtsep.shared.rings
                    inner = f"{child.module}.{alias.name}"
                    yield (inner if inner in NAMES else child.module), on_call, child.lineno
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for branch in child.orelse:
                    yield from walk(branch, on_call)
            else:
                yield from walk(child, on_call or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), on_call=False)


IMPORTS = {dotted(path): list(imports(path)) for path in MODULES}


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_arrows_between_rooms(path: Path) -> None:
    here = room(dotted(path))
    for module, _, line in IMPORTS[dotted(path)]:
        if not within(module, ("rtsep",)):
            continue
        there = room(module)
        assert there in MAY_USE[here] | FOR_ALL | {here}, f"{path}:{line}: {here} may not use {module}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_torch_stays_where_networks_are(path: Path) -> None:
    here = dotted(path)
    for module, on_call, line in IMPORTS[here]:
        if within(here, TORCH_AT_HOME) or not within(module, ("torch", "safetensors.torch", *TORCH_AT_HOME)):
            continue
        allowed = on_call and (here == "rtsep" or within(here, TORCH_ON_CALL))
        assert allowed, f"{path}:{line}: {here} imports {module}, and torch with it"


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports inside functions count too: a circle is a circle whenever it is walked."""
    needed = {name: {module for module, *_ in IMPORTS[name] if module in NAMES and module != "rtsep"} for name in NAMES}
    while leaves := [name for name, modules in needed.items() if not modules & needed.keys() - {name}]:
        for name in leaves:
            del needed[name]
    assert not needed


def _modules_after_import(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    child = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return set(child.stdout.split())


@pytest.mark.parametrize("module", LIGHT)
def test_what_must_start_quickly_imports_nothing_heavy(module: str) -> None:
    assert not {"torch", "numba", "numpy"} & _modules_after_import(module)


def test_playing_never_imports_torch() -> None:
    playing = [dotted(path) for path in MODULES if within(dotted(path), PLAYING)]
    # other systems' doors open there only
    playing = [module for module in playing if not module.endswith("_win32")]
    assert "torch" not in _modules_after_import(", ".join(playing))
