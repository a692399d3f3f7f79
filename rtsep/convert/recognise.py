"""Whose checkpoint is it? Asked of its keys, and answered by the converter that knows them."""

from __future__ import annotations

from torch import Tensor

from rtsep.convert import carperbr, cascaded
from rtsep.convert.conversion import Conversion
from rtsep.errors import RtsepError

CONVERTERS = (cascaded, carperbr)


def convert(tensors: dict[str, Tensor], source: str) -> Conversion:
    """Raises RtsepError, in one line, if no converter knows the keys or the tensors do not fit."""
    names = set(tensors)
    for converter in CONVERTERS:
        if converter.recognises(names):
            return converter.convert(tensors, source)
    raise RtsepError(f"{source}: no network that is known here has keys such as {sorted(names)[0]!r}")
