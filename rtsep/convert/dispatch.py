"""Find the converter for a checkpoint and run it."""

from __future__ import annotations

from pathlib import Path

from rtsep.bundle import RECIPE_FILE, WEIGHTS_FILE
from rtsep.convert.converter import Checkpoint, Conversion, Converter
from rtsep.convert.families import bundle, carperbr, cascaded, d3net, demucs, spleeter
from rtsep.errors import RtsepError

# By file name first, then by tensor names, for which the state dict is read.
CONVERTERS: tuple[Converter, ...] = (bundle, d3net, demucs, spleeter, cascaded, carperbr)

STATE_DICTS = (".pth", ".pt", ".th")
PARTS_OF_FOLDERS = (".h5", ".index", RECIPE_FILE)
"""Endings of files that may be one of several: the checkpoint is their folder."""


def convert_path(path: Path, name: str | None = None) -> Conversion:
    """Convert a checkpoint file, or the only checkpoint in a folder; see `Converter.convert`."""
    return convert(Checkpoint(_find_weights(path) if path.is_dir() else _whole(path, alone=True)), name)


def convert(checkpoint: Checkpoint, name: str | None = None) -> Conversion:
    """Convert a checkpoint of any known family. Raises RtsepError as `Converter.convert`, and for an unknown family."""
    for converter in CONVERTERS:
        if converter.recognises(checkpoint):
            return converter.convert(checkpoint, name)
    first = min(checkpoint.state_dict, default="")
    raise RtsepError(f"{checkpoint}: unknown architecture (its tensors have names such as {first!r})")


def _find_weights(folder: Path) -> Path:
    """The only checkpoint in a folder and those below it: a file, or a folder of files that belong together."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    places = {_whole(file) for file in files if file.name.endswith((*STATE_DICTS, *PARTS_OF_FOLDERS))}
    if len(places) == 1:
        return places.pop()
    if not places:
        if any(file.suffix in (".npz", ".npy") for file in files):
            raise RtsepError(f"{folder} holds NumPy arrays, not weights of a known kind: import the original file")
        wanted = ", ".join(f"*{ending}" for ending in (*STATE_DICTS, ".h5", ".index"))
        raise RtsepError(f"{folder} holds no weights: expected {wanted}, or {RECIPE_FILE} with {WEIGHTS_FILE}")
    some = ", ".join(str(place.relative_to(folder)) for place in sorted(places)[:3])
    raise RtsepError(f"{folder} holds weights in {len(places)} places ({some}): name one of them")


def _whole(file: Path, *, alone: bool = False) -> Path:
    """The checkpoint that a file is a part of. `alone`: the user named this file, so an .h5 file is one by itself."""
    if file.name == WEIGHTS_FILE and (file.parent / RECIPE_FILE).is_file():
        return file.parent
    if file.name.endswith(PARTS_OF_FOLDERS):
        return file if alone and file.suffix == ".h5" else file.parent
    lists = [] if alone or file.suffix != ".th" else Checkpoint(file.parent).files("*.yaml")
    return lists[0] if len(lists) == 1 else file  # Demucs: the list that names the packages beside it
