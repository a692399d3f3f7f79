"""Packages of HT Demucs: a `.th` file, a `.safetensors` file, or the `.yaml` file of several that are averaged.

A `.th` file is a pickle of a dict: `klass` (a reference to the authors' class), `args` and `kwargs` it was made with,
`state` (mostly in half precision), and what is of no use here, the settings of its training and its scores. It is read
by PyTorch's loader for weights alone. What that does not know stands for something harmless: the class for a mark, a
fraction for a fraction that was looked at, NumPy's numbers (among the scores) for nothing. Everything else is refused.
A `.safetensors` file has the same facts as JSON in its header.
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

from rtsep.convert.conversion import Conversion
from rtsep.convert.state_dict import fit, load_restricted
from rtsep.errors import RtsepError, one_line
from rtsep.nn.demucs import HTDemucs, authors_class
from rtsep.recipe import STEM_NAMES, Recipe, Segments, Stft

LICENCE = "MIT"
CLASS = "demucs.htdemucs.HTDemucs"
SUFFIXES = (".th", ".safetensors", ".yaml")
NAMES = {("drums", "bass", "other", "vocals"): "htdemucs"}


class _Nothing:
    """Takes whatever it is made of, and keeps none of it."""

    def __init__(self, *_: object) -> None: ...
    def __setstate__(self, _: object) -> None: ...


class _HTDemucs(_Nothing):
    """Stands for the authors' class."""


class _OtherDemucs(_Nothing):
    """Stands for their earlier ones."""


def _fraction(*parts: object) -> Fraction:
    """A fraction as pickles make it, of a text or two integers; a text could ask for an endless power of ten."""
    if len(parts) == 1 and isinstance(parts[0], str) and re.fullmatch(r"\d{1,9}(/\d{1,9})?", parts[0]):
        return Fraction(parts[0])
    if len(parts) == 2 and all(isinstance(part, int) for part in parts):
        return Fraction(*parts)  # type: ignore[arg-type]
    raise pickle.UnpicklingError("a fraction of something else than numbers")


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
    """What the authors' class is made with, by name, and the state dict. Nothing that the file names is ever run.

    Raises RtsepError, in one line, for a file that is unreadable, damaged, malicious or of another network.
    """
    package = load_restricted(path, "package of Demucs", "such a one", STAND_INS)
    if not isinstance(package, dict) or "klass" not in package:
        raise RtsepError(f"{path} is no package of Demucs: it names no class")
    args, kwargs, state = (package.get(key) for key in ("args", "kwargs", "state"))
    if package["klass"] is not _HTDemucs:
        raise RtsepError(f"{path} is another Demucs; only HT Demucs is played")
    if not (isinstance(args, tuple | list) and isinstance(kwargs, dict) and isinstance(state, dict)):
        raise RtsepError(f"{path} is no package of Demucs: it lacks arguments or state")
    if "__quantized" in state:
        raise RtsepError(f"{path} is quantised; only packages in half or single precision are read")
    return _named(args, kwargs, path), _tensors(state, path)


def read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """As `read_package`, of a `.safetensors` file with `klass`, `args` and `kwargs` in its header."""
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
        raise RtsepError(f"{path} is no package of Demucs: its header does not say how it is made") from error
    if header.get("klass") != CLASS:
        raise RtsepError(f"{path} is another network; only HT Demucs is played")
    if not (isinstance(args, list) and isinstance(kwargs, dict)):
        raise RtsepError(f"{path} is no package of Demucs: its header does not say how it is made")
    return _named(args, kwargs, path), state


def convert(path: Path) -> Conversion:
    """One package, or those that a `.yaml` file beside them names. Raises RtsepError, in one line."""
    if path.suffix == ".yaml":
        return _convert_bag(path)
    arguments, state = read_safetensors(path) if path.suffix == ".safetensors" else read_package(path)
    return _conversion([arguments], [state], None, path)


def _convert_bag(path: Path) -> Conversion:
    """`models` lists signatures, with which the names of packages in the same folder begin; `weights` their shares."""
    authors_class()  # has the words for what is missing, and brings the reader of YAML
    import yaml

    try:
        bag = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RtsepError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RtsepError(f"{path} is no readable YAML file: {one_line(error)}") from error
    signatures = bag.get("models") if isinstance(bag, dict) else None
    if not (isinstance(signatures, list) and signatures and all(isinstance(name, str) for name in signatures)):
        raise RtsepError(f"{path} lists no models")
    packages = []
    for signature in signatures:
        found = [file for file in sorted(path.parent.glob("*.th")) if file.stem.partition("-")[0] == signature]
        if len(found) != 1:
            raise RtsepError(f"{path}: expected one file {signature}-*.th beside it, found {len(found)}")
        packages.append(read_package(found[0]))
    return _conversion([made for made, _ in packages], [state for _, state in packages], bag.get("weights"), path)


def _conversion(made: list[dict[str, Any]], states: list[dict[str, Tensor]], weights: Any, path: Path) -> Conversion:
    arguments = made[0]
    if any(other != arguments for other in made):
        raise RtsepError(f"{path}: its networks are not of one kind")
    stems = arguments.pop("sources", None)
    channels, rate = arguments.pop("audio_channels", 2), arguments.get("samplerate", 44100)
    if not (isinstance(stems, list) and stems and all(stem in STEM_NAMES for stem in stems)):
        raise RtsepError(f"{path}: its stems {str(stems)[:80]} are not all of {', '.join(STEM_NAMES)}")
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
        raise RtsepError(f"{path} was made with arguments that do not fit: {' '.join(str(error).split())}") from error
    tensors = {f"members.{n}.{name}": tensor for n, state in enumerate(states) for name, tensor in state.items()}
    return Conversion(recipe, fit(tensors, network, str(path)), LICENCE)


def _named(args: list[Any] | tuple[Any, ...], kwargs: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """All arguments by name, but for those that the class does not know any more and those that say nothing."""
    known = list(inspect.signature(authors_class()).parameters)
    if len(args) > len(known):
        raise RtsepError(f"{path} was made with {len(args)} arguments, and HT Demucs takes {len(known)}")
    given = {**dict(zip(known, args, strict=False)), **kwargs}
    told = {name: _plain(value) for name, value in given.items() if name in known and value is not None}
    strange = [name for name, value in told.items() if value is None]
    if strange:
        raise RtsepError(f"{path} was made with a {strange[0]!r} that is neither number nor text nor list of these")
    return told


def _tensors(state: dict[Any, Any], path: Path) -> dict[str, Tensor]:
    strange = [name for name, value in state.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if strange:
        raise RtsepError(f"{path} is no package of Demucs: {str(strange[0])[:60]!r} is no tensor")
    return state


def _plain(value: Any) -> Any:
    """An argument as a recipe can say it; None for what it cannot."""
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    parts = value if isinstance(value, list) else [value]
    return value if all(isinstance(part, bool | int | float | str) for part in parts) else None
