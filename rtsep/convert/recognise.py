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
    (spleeter.recognises, spleeter.convert_state_dict),
)


def convert_path(path: Path) -> Conversion:
    """A PyTorch state dict, a package of Demucs (`.th`, `.safetensors`, `.yaml` for several), an `.h5` file or a folder
    of four, or the folder of a TensorFlow checkpoint.

    Raises RtsepError, in one line, for what is none of these, is damaged or holds an unknown network.
    """
    parameter_files = sorted(path.glob("*.h5")) if path.is_dir() else [path]
    if parameter_files and all(file.suffix == ".h5" for file in parameter_files):
        return d3net.convert([d3net.read_parameters(file) for file in parameter_files], str(path))
    if path.suffix in demucs.SUFFIXES:
        return demucs.convert(path)
    if path.is_dir():
        return spleeter.convert_checkpoint(path)
    return convert(read_state_dict(path), str(path))


def convert(tensors: dict[str, Tensor], source: str) -> Conversion:
    """Raises RtsepError, in one line, if no converter knows the keys or the tensors do not fit."""
    names = set(tensors)
    for recognises, converts in CONVERTERS:
        if recognises(names):
            return converts(tensors, source)
    raise RtsepError(f"{source}: no network that is known here has keys such as {sorted(names)[0]!r}")
