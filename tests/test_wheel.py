"""What `pip install` brings: the package, the command and the default model."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("rtsep-*.whl")))


def test_wheel_carries_the_default_bundle(wheel: zipfile.ZipFile, default_bundle: Path) -> None:
    for file in ("recipe.toml", "weights.safetensors", "CARD.md"):
        carried = wheel.read(f"rtsep/_bundles/{default_bundle.name}/{file}")
        assert carried == (default_bundle / file).read_bytes()


def test_pictures_of_models_stay_in_the_repository(wheel: zipfile.ZipFile) -> None:
    assert any((REPOSITORY / "models").glob("*/pictures/*.png"))
    assert not [name for name in wheel.namelist() if name.endswith(".png") and "_bundles" in name]


def test_wheel_carries_the_package_and_nothing_beside_it(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    metadata = next(name.split("/")[0] for name in names if name.endswith("/METADATA"))
    assert {name.split("/")[0] for name in names} == {"rtsep", metadata}
    files = [path for ending in ("py", "toml") for path in (REPOSITORY / "rtsep").rglob(f"*.{ending}")]
    sources = {path.relative_to(REPOSITORY).as_posix() for path in files}
    assert sources <= set(names)
    assert "rtsep = rtsep.cli.main:main" in wheel.read(f"{metadata}/entry_points.txt").decode()
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert "rtsep/py.typed" in names


PROGRAM = """
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray
import rtsep

stems = rtsep.separate("song.flac", progress=lambda done, total: None)
assert_type(stems, rtsep.Stems)
assert_type(stems["vocals"], NDArray[np.float32])
assert_type(stems.mix({"vocals": -6}), NDArray[np.float32])
assert_type(stems.save(Path("out"), format="flac"), dict[str, Path])
with rtsep.load(chunk=1) as separator:
    assert_type(separator, rtsep.Separator)
    assert_type(separator.feed(stems["vocals"]), dict[str, NDArray[np.float32]])
assert_type([model.name for model in rtsep.list_models()], list[str])
for stems in rtsep.separate_all([Path("a.wav"), [0.5, 0.25]], 44100, separator):
    stems.sample_rate.bit_length()
rtsep.load(chunk="one")
stems.misspelt
"""


def test_programs_that_use_the_wheel_are_type_checked(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    settings = {"include": ["program.py"], "extraPaths": ["site"], "typeCheckingMode": "strict"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    check = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True)
    found = [(item["range"]["start"]["line"], item["rule"]) for item in json.loads(done.stdout)["generalDiagnostics"]]
    last = len(PROGRAM.splitlines()) - 1
    expected = {(last - 1, "reportArgumentType"), (last, "reportAttributeAccessIssue")}
    assert {(line, rule) for line, rule in found if line < last - 1 or (line, rule) in expected} == expected
