"""A converted checkpoint to a bundle on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import tomli_w
from msgspec import Struct

from rtsep.bundle import Bundle, write_bundle
from rtsep.convert.conversion import Conversion
from rtsep.recipe import Recipe


def write_conversion(conversion: Conversion, folder: Path) -> Bundle:
    """Write recipe and weights, in the precision they came in.

    Raises RtsepError in one line if the disk does not take them; there is no bundle then.
    """
    recipe = conversion.recipe
    prefix = "network." if recipe.window else ""  # of the network inside `Windowed`
    tensors = {prefix + name: tensor.contiguous() for name, tensor in conversion.tensors.items()}
    return write_bundle(folder, recipe, recipe_text(recipe), tensors, conversion.licence)


def recipe_text(recipe: Recipe) -> str:
    """TOML of all in a recipe that is not as it would be anyway."""
    return tomli_w.dumps(_told(recipe))


def _told(struct: Struct) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if value != default:
            told[field.name] = _told(value) if isinstance(value, Struct) else msgspec.to_builtins(value)
    return told
