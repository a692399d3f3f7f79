"""rtsep's own bundles: `recipe.toml`, `weights.safetensors` and, where there is one, `CARD.md`."""

from __future__ import annotations

from rtsep.bundle import CARD_FILE, RECIPE_FILE, Bundle
from rtsep.convert.converter import Checkpoint, Conversion
from rtsep.files import read_text


def recognises(checkpoint: Checkpoint) -> bool:
    return checkpoint.path.is_dir() and bool(checkpoint.files(RECIPE_FILE))


def convert(checkpoint: Checkpoint, name: str | None) -> Conversion:
    """Keep recipe, weights and card as they are. Raises RtsepError unless the weights have the recipe's sha256."""
    bundle = Bundle(checkpoint.path)
    bundle.load_weights()  # verifies them
    import safetensors.torch

    inner = "network." if bundle.recipe.window else ""
    tensors = safetensors.torch.load_file(bundle.weights_path)
    card = bundle.path / CARD_FILE
    return Conversion(
        recipe=bundle.recipe,
        tensors={key.removeprefix(inner): tensor for key, tensor in tensors.items()},
        licence=bundle.licence,
        recipe_text=read_text(bundle.path / RECIPE_FILE),
        card=read_text(card) if card.is_file() else "",
    )
