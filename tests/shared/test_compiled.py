"""Compiled kernels: what their cache depends on, and what happens where nothing can be cached."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rtsep
from rtsep.shared.compiled import compiled_sources

PACKAGE = Path(rtsep.__file__).parent
# Numba looks for a cache only where it is told to, as if it could write nowhere else.
NOWHERE = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""}


def test_the_fingerprint_covers_every_file_with_kernels_and_all_that_they_import() -> None:
    """A kernel elsewhere, or a constant of another file, would otherwise be loaded stale from the cache."""
    covered = compiled_sources()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        nodes = [node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.ImportFrom)]
        modules = [node.module for node in nodes if node.module is not None]
        if not any(module in ("numba", "rtsep.shared.compiled") for module in modules) and name not in covered:
            continue
        assert covered[name] == path.read_bytes()
        for node in nodes:
            if node.module is not None and node.module.startswith("rtsep."):
                place = node.module.removeprefix("rtsep.").replace(".", "/")
                inside = [f"{place}/{alias.name}.py" for alias in node.names]
                assert any(candidate in covered for candidate in (f"{place}.py", *inside)), f"{name}: {node.module}"


def _compile(setup: str = "", **environment: str) -> list[str]:
    """What a new process that compiles a kernel writes to stderr, in lines; the kernel's result is checked."""
    code = (
        f"import tempfile\n{setup}\n"
        "from numba import types\n"
        "from rtsep.shared.compiled import kernel\n"
        "@kernel(types.int64(types.int64))\n"
        "def double(x):\n    return 2 * x\n"
        "assert double(21) == 42\n"
    )
    script = Path(environment["TMPDIR"]) / "script.py"  # numba caches nothing of code without a file
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | NOWHERE | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def test_without_a_writable_cache_the_machine_code_is_kept_in_a_private_temporary_folder(tmp_path: Path) -> None:
    (line,) = _compile(TMPDIR=str(tmp_path))
    assert "the cache for compiled code can't be used (no writable folder)" in line
    (folder,) = tmp_path.glob("rtsep-compiled-*")
    assert f"using {folder}" in line
    assert folder.stat().st_mode & 0o077 == 0
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nb*")}
    assert written
    _compile(TMPDIR=str(tmp_path))  # the next process, a worker say, loads it
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nb*")} == written


@pytest.mark.skipif(sys.platform == "win32", reason="temporary folders are the user's own there")
@pytest.mark.parametrize("case", ["others may write", "no temporary folder", "damaged cache"])
def test_without_any_usable_folder_it_compiles_each_time_and_says_so_once(tmp_path: Path, case: str) -> None:
    setup, folder = "", tmp_path / f"rtsep-compiled-{os.getuid()}"
    if case == "others may write":
        folder.mkdir()
        folder.chmod(0o777)
    elif case == "no temporary folder":
        setup = f"tempfile.tempdir = {str(tmp_path / 'missing')!r}"
    else:
        _compile(TMPDIR=str(tmp_path))
        for path in folder.rglob("*.nbi"):
            path.write_bytes(b"")
    line = _compile(setup, TMPDIR=str(tmp_path))[-1]
    assert "no cache for compiled code can be used" in line
    assert "set NUMBA_CACHE_DIR to a writable folder" in line
