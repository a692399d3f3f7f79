"""Which room of the package may use which.

Arrows run one way: cli, ui -> player -> engine -> dsp, nn; audio -> dsp; train -> nn, dsp, audio's files.
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

# Rooms whose modules a room may import, besides its own and those for all.
MAY_USE = {
    "errors": set(),
    "files": set(),
    "dsp": set(),
    "nn": set(),
    "audio": {"dsp"},
    "train_settings": set(),
    "recipe": {"train_settings"},
    "bundle": {"recipe", "nn"},
    "convert": {"nn", "dsp", "recipe", "train_settings", "bundle"},
    "engine": {"dsp", "nn", "recipe", "bundle"},
    "player": {"engine", "audio", "dsp", "recipe", "bundle"},
    "train": {"nn", "dsp", "audio", "recipe", "train_settings", "bundle"},
    "ui": {"player", "engine", "audio", "dsp"},
    "cli": {"ui", "player", "engine", "audio", "dsp", "nn", "train", "convert", "recipe", "bundle"},
    "": {"engine", "bundle", "cli"},  # rtsep itself, `python -m rtsep` and `python -m rtsep.train`
}
FOR_ALL = {"errors", "files", ""}

# The trainer reads files; devices and callback are none of its business.
TRAIN_USES_OF_AUDIO = {"rtsep.audio", "rtsep.audio.files", "rtsep.audio.resample", "rtsep.audio.wav"}

# What may import torch as soon as it is imported itself.
TORCH_AT_HOME = (
    "rtsep.nn",
    "rtsep.train",
    "rtsep.convert",
    "rtsep.engine.compute",
    "rtsep.engine.segments",
    "rtsep.engine.whole_song",
    "rtsep.cli.fitness",
    "rtsep.cli.train",
)
# What may import it, or one of those, only inside a function, which the playing process never calls.
TORCH_ON_CALL = ("rtsep.bundle", "rtsep.engine.stepping", "rtsep.engine.separator", "rtsep.cli")

LIGHT = ("rtsep", "rtsep.cli.main", "rtsep.ui.keys", "rtsep.ui.terminal")
PLAYING = ("rtsep.audio", "rtsep.dsp", "rtsep.player", "rtsep.ui", "rtsep.engine.host", "rtsep.cli.session")


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """`engine` of `rtsep.engine.worker`; empty for the package itself and for what `python -m` starts."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[-1] != "__main__" else ""


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
                    # `from rtsep.dsp import rings` imports the module rtsep.dsp.rings
                    inner = f"{child.module}.{alias.name}"
                    known = inner in {dotted(module) for module in MODULES}
                    yield (inner if known else child.module), on_call, child.lineno
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for branch in child.orelse:
                    yield from walk(branch, on_call)
            else:
                yield from walk(child, on_call or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), on_call=False)


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_arrows_between_rooms(path: Path) -> None:
    here = room(dotted(path))
    for module, _, line in imports(path):
        if not within(module, ("rtsep",)):
            continue
        there = room(module)
        assert there in MAY_USE[here] | FOR_ALL | {here}, f"{path}:{line}: {here} may not use {module}"
        if (here, there) == ("train", "audio"):
            assert module in TRAIN_USES_OF_AUDIO, f"{path}:{line}: train may not use {module}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_torch_stays_where_networks_are(path: Path) -> None:
    here = dotted(path)
    for module, on_call, line in imports(path):
        if within(here, TORCH_AT_HOME) or not within(module, ("torch", "safetensors.torch", *TORCH_AT_HOME)):
            continue
        allowed = on_call and (here == "rtsep" or within(here, TORCH_ON_CALL))
        assert allowed, f"{path}:{line}: {here} imports {module}, and torch with it"


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
    playing = [module for module in playing if not module.endswith("_windows")]
    assert "torch" not in _modules_after_import(", ".join(playing))
