"""HT Demucs packages: a `.th` file, a `.safetensors` file, or the `.yaml` file of a bag of models that are averaged.

A `.th` file is a pickle of a dict: `klass` (a reference to the authors' class), the `args` and `kwargs` it was made
with, `state` (mostly in half precision), and training settings and scores, which are not used here. PyTorch's loader
for weights reads it. The types that this loader does not know are replaced: the authors' class by a marker, fractions
by checked fractions, NumPy's scalars (among the scores) by nothing. Everything else is refused. A `.safetensors` file
has the same fields as JSON in its header.
"""

from __future__ import annotations

import inspect
import json
import pickle
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rtsep.convert.converter import Checkpoint, Conversion
from rtsep.convert.formats.state_dict import fit, load_restricted
from rtsep.errors import RtsepError, one_line
from rtsep.files import read_text
from rtsep.nn.demucs import HTDemucs, authors_class
from rtsep.recipe import STEM_NAMES, Recipe, Segments, Stft

LICENCE = "MIT"
CLASS = "demucs.htdemucs.HTDemucs"
PATTERNS = ("*.th", "*.safetensors", "*.yaml")
NAMES = {("drums", "bass", "other", "vocals"): "htdemucs"}


class _Nothing:
    """Accepts any arguments and state, and keeps nothing."""

    def __init__(self, *_: object) -> None: ...
    def __setstate__(self, _: object) -> None: ...


class _HTDemucs(_Nothing):
    """Marks the authors' class."""


class _OtherDemucs(_Nothing):
    """Marks their earlier classes."""


def _fraction(*parts: object) -> Fraction:
    """A fraction as pickles make it, from a string or two integers; "1e999999999" would take forever."""
    if len(parts) == 1 and isinstance(parts[0], str) and re.fullmatch(r"\d{1,9}(/\d{1,9})?", parts[0]):
        return Fraction(parts[0])
    if len(parts) == 2 and all(isinstance(part, int) for part in parts):
        return Fraction(*parts)  # type: ignore[arg-type]
    raise pickle.UnpicklingError("a fraction of something other than numbers")


STAND_INS: list[Any] = [
    (_HTDemucs, CLASS),
    (_OtherDemucs, "demucs.hdemucs.HDemucs"),
    (_OtherDemucs, "demucs.demucs.Demucs"),
    (_fraction, "fractions.Fraction"),
    (_Nothing, "numpy.core.multiarray.scalar"),
    (_Nothing, "numpy._core.multiarray.scalar"),
    (_Nothing, "numpy.dtype"),
]


def read_package(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The named arguments of the authors' class, and the state dict. No code from the file is executed.

    Raises RtsepError for a file that is unreadable, damaged, malicious or of another network.
    """
    package = load_restricted(path, "Demucs package", STAND_INS)
    if not isinstance(package, dict) or "klass" not in package:
        raise RtsepError(f"{path} is not a Demucs package: it names no class")
    args, kwargs, state = (package.get(key) for key in ("args", "kwargs", "state"))
    if package["klass"] is not _HTDemucs:
        raise RtsepError(f"{path} is another Demucs: only HT Demucs is supported")
    if not (isinstance(args, tuple | list) and isinstance(kwargs, dict) and isinstance(state, dict)):
        raise RtsepError(f"{path} is not a Demucs package: it lacks arguments or state")
    if "__quantized" in state:
        raise RtsepError(f"{path} is quantised: expected a package in half or single precision")
    return _named(args, kwargs, path), _tensors(state, path)


def read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Like `read_package`, for a `.safetensors` file with `klass`, `args` and `kwargs` in its header."""
    import safetensors

    def plain(entry: dict[str, Any]) -> Any:
        return _fraction(entry["numerator"], entry["denominator"]) if entry.get("_type") == "fraction" else entry

    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        args, kwargs = (json.loads(header[key], object_hook=plain) for key in ("args", "kwargs"))
    except (OSError, safetensors.SafetensorError) as error:
        raise RtsepError(f"{path} is not a readable safetensors file: {error}") from error
    except (KeyError, ValueError, ArithmeticError, pickle.UnpicklingError) as error:
        raise RtsepError(f"{path} is not a Demucs package: its header lacks klass, args or kwargs") from error
    if header.get("klass") != CLASS:
        raise RtsepError(f"{path} is not an HT Demucs package: its header names the class {header.get('klass')}")
    if not (isinstance(args, list) and isinstance(kwargs, dict)):
        raise RtsepError(f"{path} is not a Demucs package: its header lacks klass, args or kwargs")
    return _named(args, kwargs, path), state


def recognises(checkpoint: Checkpoint) -> bool:
    return not checkpoint.path.is_dir() and any(checkpoint.files(pattern) for pattern in PATTERNS)


def convert(checkpoint: Checkpoint, name: str | None) -> Conversion:
    """Convert a package, or the bag of packages that a `.yaml` file beside them lists."""
    path = checkpoint.path
    if path.suffix == ".yaml":
        return _convert_bag(path)
    arguments, state = read_safetensors(path) if path.suffix == ".safetensors" else read_package(path)
    return _conversion([arguments], [state], None, path)


def _convert_bag(path: Path) -> Conversion:
    """`models` lists signatures: the first part of the names of packages beside the file. `weights`: their shares."""
    authors_class()  # says what is missing; PyYAML comes with it
    import yaml

    try:
        bag = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise RtsepError(f"{path} is not a readable YAML file: {one_line(error)}") from error
    signatures = bag.get("models") if isinstance(bag, dict) else None
    if not (isinstance(signatures, list) and signatures and all(isinstance(name, str) for name in signatures)):
        raise RtsepError(f"{path} lists no models")
    packages = []
    for signature in signatures:
        found = [file for file in sorted(path.parent.glob("*.th")) if file.stem.partition("-")[0] == signature]
        if len(found) != 1:
            raise RtsepError(
                f"{path} lists {signature}: expected one file {signature}-*.th beside it, found {len(found)}"
            )
        packages.append(read_package(found[0]))
    return _conversion([made for made, _ in packages], [state for _, state in packages], bag.get("weights"), path)


def _conversion(made: list[dict[str, Any]], states: list[dict[str, Tensor]], weights: Any, path: Path) -> Conversion:
    arguments = made[0]
    if any(other != arguments for other in made):
        raise RtsepError(f"{path} lists networks with different arguments")
    stems = arguments.pop("sources", None)
    channels, rate = arguments.pop("audio_channels", 2), arguments.get("samplerate", 44100)
    if not (isinstance(stems, list) and stems and all(stem in STEM_NAMES for stem in stems)):
        raise RtsepError(f"{path} has the stems {str(stems)[:80]}: expected some of {', '.join(STEM_NAMES)}")
    net: dict[str, Any] = {"arguments": arguments}
    if len(states) > 1:
        net["weights"] = weights if weights is not None else [[1.0] * len(stems)] * len(states)
    try:
        recipe = Recipe(
            name=("htdemucs-ft" if len(states) > 1 else NAMES.get(tuple(stems), f"htdemucs-{len(stems)}s")),
            description="HT Demucs of Meta.",
            network="rtsep.nn.demucs:HTDemucs",
            stems=tuple(stems),
            stft=Stft(sample_rate=rate, bins=2048, channels=channels),
            net=net,
            segments=Segments(),
        )
        with torch.device("meta"):  # shapes are enough
            network = HTDemucs(recipe.stems, channels=channels, **net)
    except (TypeError, ValueError, AssertionError, ArithmeticError, RuntimeError) as error:
        raise RtsepError(f"{path} has arguments that do not fit HT Demucs: {' '.join(str(error).split())}") from error
    tensors = {f"members.{n}.{name}": tensor for n, state in enumerate(states) for name, tensor in state.items()}
    return Conversion(recipe, fit(tensors, network, str(path)), LICENCE)


def _named(args: list[Any] | tuple[Any, ...], kwargs: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """All arguments by name, without None and without those that today's class no longer has."""
    known = list(inspect.signature(authors_class()).parameters)
    if len(args) > len(known):
        raise RtsepError(f"{path} has {len(args)} arguments: HT Demucs takes {len(known)}")
    passed = {**dict(zip(known, args, strict=False)), **kwargs}
    named = {name: _plain(value) for name, value in passed.items() if name in known and value is not None}
    strange = [name for name, value in named.items() if value is None]
    if strange:
        raise RtsepError(f"{path} has an argument {strange[0]!r} that is not a number, a string or a list of these")
    return named


def _tensors(state: dict[Any, Any], path: Path) -> dict[str, Tensor]:
    strange = [name for name, value in state.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if strange:
        raise RtsepError(f"{path} is not a Demucs package: {str(strange[0])[:60]!r} is not a tensor")
    return state


def _plain(value: Any) -> Any:
    """An argument as a recipe can hold it; None for a type it cannot hold."""
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    parts = value if isinstance(value, list) else [value]
    return value if all(isinstance(part, bool | int | float | str) for part in parts) else None
