"""Foreign state dicts: read by a restricted loader, renamed by rules, held against the network they must fit."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rtsep.errors import RtsepError, one_line

Rules = Iterable[tuple[str, str]]
"""Pairs of a regular expression and what stands in its place, applied in order to every name."""


def load_restricted(path: Path, kind: str, contents: str, stand_ins: Sequence[type | tuple[type, str]] = ()) -> object:
    """What `torch.save` wrote: of it only data is built, and `stand_ins` for what they name; nothing is ever called.

    Raises RtsepError, in one line, for a file that is unreadable, cut off, or no `kind`, which holds `contents` alone.
    """
    try:
        with torch.serialization.safe_globals(list(stand_ins)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise RtsepError(f"cannot read {path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise RtsepError(f"{path} is refused: it is no {kind}, or holds more than {contents}") from error
    except Exception as error:  # a damaged pickle can lead anywhere
        raise RtsepError(f"{path} is damaged or no PyTorch file: {one_line(error)}") from error


def read_state_dict(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a file that `torch.save` wrote of a state dict; nothing else in it is ever built or called.

    Raises RtsepError, in one line, for a file that is unreadable, cut off, or holds more than names and tensors.
    """
    content = load_restricted(Path(path), "state dict", "names and tensors")
    if not isinstance(content, dict) or not content:
        raise RtsepError(f"{path} holds no state dict")
    for name, value in content.items():
        if not (isinstance(name, str) and name.isprintable() and isinstance(value, Tensor)):
            raise RtsepError(f"{path} is no state dict: {str(name)[:60]!r} is no tensor's name or no tensor")
    return dict(content)


def rename(tensors: dict[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """The same tensors under the names that the rules make of theirs."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, replacement in compiled:
            name = pattern.sub(replacement, name)
        renamed[name] = tensor
    return renamed


def fit(tensors: dict[str, Tensor], network: nn.Module, source: str) -> dict[str, Tensor]:
    """The tensors as a complete state dict of `network`, floats in single precision.

    Counts of batches, which nothing reads, may be missing. Raises RtsepError that names the first tensor that is
    missing, unknown, or of another shape, and tells how many there are.
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
