"""The door to compiled kernels: what a cached kernel depends on."""

from __future__ import annotations

import ast
from pathlib import Path

import rtsep
from rtsep.shared.compiled import compiled_sources

PACKAGE = Path(rtsep.__file__).parent


def test_the_fingerprint_covers_every_file_with_kernels_and_what_these_import() -> None:
    """A kernel elsewhere, or a constant of another file, would otherwise be loaded stale from the cache."""
    covered = compiled_sources()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        nodes = [node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.ImportFrom)]
        modules = [node.module for node in nodes if node.module is not None]
        if not any(module in ("numba", "rtsep.shared.compiled") for module in modules):
            continue
        assert covered[name] == path.read_bytes()
        for node in nodes:
            if node.module is not None and node.module.startswith("rtsep."):
                place = node.module.removeprefix("rtsep.").replace(".", "/")
                inside = [f"{place}/{alias.name}.py" for alias in node.names]
                assert any(candidate in covered for candidate in (f"{place}.py", *inside)), f"{name}: {node.module}"
