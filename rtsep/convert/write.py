"""Write a converted checkpoint as a bundle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import tomli_w
from msgspec import Struct

from rtsep.bundle import Bundle, write_bundle
from rtsep.convert.converter import Conversion
from rtsep.recipe import Recipe


def write_conversion(conversion: Conversion, folder: Path) -> Bundle:
    """Write recipe and weights, in the precision of the conversion's tensors. Raises RtsepError if the disk refuses."""
    recipe = conversion.recipe
    prefix = "network." if recipe.window else ""  # of the network inside `Windowed`
    tensors = {prefix + name: tensor.contiguous() for name, tensor in conversion.tensors.items()}
    text = conversion.recipe_text or recipe_text(recipe)
    text = re.sub(r"^name *=.*$", lambda _: tomli_w.dumps({"name": recipe.name}).strip(), text, count=1, flags=re.M)
    return write_bundle(folder, recipe, text, tensors, conversion.licence)


def recipe_text(recipe: Recipe) -> str:
    """TOML of a recipe, without what has its default value."""
    return tomli_w.dumps(_changed(recipe))


def _changed(struct: Struct) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if value != default:
            changed[field.name] = _changed(value) if isinstance(value, Struct) else msgspec.to_builtins(value)
    return changed
