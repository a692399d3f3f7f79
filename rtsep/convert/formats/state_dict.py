"""Foreign state dicts: read by a restricted loader, renamed by rules, compared with the network they must fit."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rtsep.errors import RtsepError, one_line

Rules = Iterable[tuple[str, str]]
"""Pairs of a regular expression and its replacement, applied in order to every name."""


def load_restricted(path: Path, kind: str, stand_ins: Sequence[type | tuple[type, str]] = ()) -> object:
    """Load what `torch.save` wrote. Only data is built, and `stand_ins` for the types they name.

    Raises RtsepError for a file that is unreadable, damaged, or holds anything else; `kind` says what was expected.
    """
    try:
        with torch.serialization.safe_globals(list(stand_ins)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise RtsepError(f"cannot read {path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        if "numpy" in str(error):  # the name of the type that the loader refused
            raise RtsepError(f"{path} is refused: it holds NumPy arrays, expected PyTorch tensors alone") from error
        raise RtsepError(f"{path} is refused: it is not a {kind}, or holds more than data") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise RtsepError(f"{path} is damaged or not a PyTorch file: {one_line(error)}") from error


def read_state_dict(path: Path | str) -> dict[str, Tensor]:
    """Read a state dict that `torch.save` wrote. No code from the file is executed.

    Raises RtsepError for a file that is unreadable, damaged, or holds more than names and tensors.
    """
    content = load_restricted(Path(path), "state dict")
    if not isinstance(content, dict) or not content:
        raise RtsepError(f"{path} holds no state dict")
    for name, value in content.items():
        if not (isinstance(name, str) and name.isprintable() and isinstance(value, Tensor)):
            raise RtsepError(f"{path} is not a state dict: {str(name)[:60]!r} does not name a tensor")
    return dict(content)


def rename(tensors: dict[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """The same tensors, with their names changed by the rules."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, replacement in compiled:
            name = pattern.sub(replacement, name)
        renamed[name] = tensor
    return renamed


def fit(tensors: dict[str, Tensor], network: nn.Module, source: str) -> dict[str, Tensor]:
    """The tensors as a complete state dict of `network`, floats in single precision.

    `num_batches_tracked`, which nothing reads, may be missing. Raises RtsepError that counts the tensors that are
    missing, unknown or of another shape, and names the first.
    """
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name.endswith("num_batches_tracked"):
            tensors.setdefault(name, torch.zeros((), dtype=tensor.dtype))
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    odd = [name for name in expected if name in tensors and tensors[name].shape != expected[name].shape]
    faults = [
        *([f"{len(missing)} tensors missing (first {missing[0]})"] if missing else []),
        *([f"{len(unknown)} unknown (first {unknown[0]})"] if unknown else []),
        *(
            f"{len(odd)} of another shape (first {name}: {tuple(tensors[name].shape)}, "
            f"expected {tuple(expected[name].shape)})"
            for name in odd[:1]
        ),
    ]
    if faults:
        raise RtsepError(f"{source} does not fit {type(network).__name__}: {'; '.join(faults)}")
    return {name: tensors[name].float() if tensors[name].is_floating_point() else tensors[name] for name in expected}
