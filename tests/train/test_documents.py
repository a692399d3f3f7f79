"""What the documents say of recipes: their examples can be read, and no key is missing or has another default."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from rtsep.recipe import Recipe
from rtsep.train_settings import Augment, DataSource, Losses, Train

DOCS = Path(__file__).parent.parent.parent / "docs"
TRAINING = (DOCS / "training.md").read_text(encoding="utf-8")
HEAD = 'name = "a"\nnetwork = "a.b:C"\nstems = ["vocals", "instrumental"]\n'
EXAMPLES = [
    (name, block)
    for name in ("training.md", "training-data.md")
    for block in re.findall(r"^```toml\n(.*?)^```", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
]
SECTIONS = {"data", "augment", "losses"}


@pytest.mark.parametrize(("name", "block"), EXAMPLES)
def test_examples_can_be_read(name: str, block: str) -> None:
    assert msgspec.toml.decode(HEAD + block, type=Recipe).train.data, name


@pytest.mark.parametrize("settings", [Train, Losses, Augment, DataSource])
def test_every_key_is_told(settings: type[msgspec.Struct]) -> None:
    assert {key for key in settings.__struct_fields__ if f"`{key}`" not in TRAINING} <= SECTIONS


def test_defaults_are_those_of_the_recipe() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|\s][^|]*?) \|", TRAINING, re.MULTILINE)
    defaults = [Train(), Augment(), DataSource(folder="a", layout="stems")]
    told = [(key, text) for key, text in rows if any(hasattr(of, key) for of in defaults)]
    assert len(told) > 20
    for key, text in told:
        (default,) = (getattr(of, key) for of in defaults if hasattr(of, key))
        assert json.loads(text) == json.loads(msgspec.json.encode(default)), key
