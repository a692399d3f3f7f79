"""Whose checkpoint is it? Asked of its keys or its files, and answered by the converter that knows them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from rtsep.convert import carperbr, cascaded, d3net, demucs, spleeter
from rtsep.convert.conversion import Conversion
from rtsep.convert.state_dict import read_state_dict
from rtsep.errors import RtsepError

CONVERTERS = (
    (cascaded.recognises, cascaded.convert),
    (carperbr.recognises, carperbr.convert),
)
ALONE = (".pth", ".pt", ".th")
IN_FOLDERS = (".h5", ".index")
"""Files that are no checkpoint by themselves, or may be a part of one: their folder is."""


def convert_path(path: Path, name: str | None = None) -> Conversion:
    """A PyTorch state dict, a package of Demucs (`.th`, `.safetensors`, `.yaml` for several), an `.h5` file or a folder
    of four, the folder of a TensorFlow checkpoint (with its JSON, if it is no published one), or a folder with one of
    them somewhere in it.

    `name` tells those apart that have the same weights, such as Spleeter's for 16 kHz. Raises RtsepError, in one line,
    for what is none of these, is damaged or holds an unknown network.
    """
    if path.is_dir():
        path = _find_weights(path)
    parameter_files = _visible(path, "*.h5") if path.is_dir() else [path]
    if parameter_files and all(file.suffix == ".h5" for file in parameter_files):
        return d3net.convert([d3net.read_parameters(file) for file in parameter_files], str(path))
    if path.suffix in demucs.SUFFIXES:
        return demucs.convert(path)
    if path.is_dir():
        configurations = _visible(path, "*.json")
        config = spleeter.read_config(configurations[0]) if len(configurations) == 1 else None
        return spleeter.convert_checkpoint(path, config, None if config else _released(name))
    return convert(read_state_dict(path), str(path), name)


def convert(tensors: dict[str, Tensor], source: str, name: str | None = None) -> Conversion:
    """Raises RtsepError, in one line, if no converter knows the keys or the tensors do not fit."""
    names = set(tensors)
    if spleeter.recognises(names):
        return spleeter.convert_state_dict(tensors, source, name=_released(name))
    for recognises, converts in CONVERTERS:
        if recognises(names):
            return converts(tensors, source)
    raise RtsepError(f"{source}: no network that is known here has keys such as {sorted(names)[0]!r}")


def _released(name: str | None) -> str | None:
    return name if name in spleeter.RELEASED else None


def _find_weights(folder: Path) -> Path:
    """The one state dict in a folder and those below it, or the one folder of files that belong together."""
    files = [file for file in _visible(folder, "**/*") if file.suffix in (*ALONE, *IN_FOLDERS) and file.is_file()]
    places = {_whole(file) for file in files}
    if len(places) == 1:
        return places.pop()
    if not places:
        raise RtsepError(f"{folder} holds no weights: no {', '.join(f'*{ending}' for ending in (*ALONE, *IN_FOLDERS))}")
    some = ", ".join(str(place.relative_to(folder)) for place in sorted(places)[:3])
    raise RtsepError(f"{folder} holds weights in {len(places)} places ({some}); name one of them")


def _whole(file: Path) -> Path:
    """What the file is a part of; packages of Demucs, of the list beside them."""
    lists = _visible(file.parent, "*.yaml") if file.suffix == ".th" else []
    return file.parent if file.suffix in IN_FOLDERS else lists[0] if len(lists) == 1 else file


def _visible(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
