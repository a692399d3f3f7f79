"""Count the recipes of the repository anew, for `rtsep models list`.

    python -m benches.sizes

Writes `rtsep/cli/sizes.toml`. Wants the extra `demucs`.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import asdict, replace

from benches.report import REPOSITORY
from rtsep.cli.model_sizes import TABLE, count_size
from rtsep.recipe import load_recipe

PACKAGES = {"rtsep.nn.demucs:HTDemucs": "demucs"}
"""What a network needs beside rtsep."""
HEAD = b"# Made by `python -m benches.sizes`; not to be edited.\n\n"


def main() -> None:
    recipes = [load_recipe(path) for path in sorted((REPOSITORY / "models").glob("*/recipe.toml"))]
    sizes = [replace(count_size(recipe), package=PACKAGES.get(recipe.network)) for recipe in recipes]
    rows = [{key: value for key, value in asdict(size).items() if value is not None} for size in sizes]
    TABLE.write_bytes(HEAD + msgspec.toml.encode({"size": rows}))


if __name__ == "__main__":
    main()
