"""What `pip install` brings: the package, the command and the default model."""

from __future__ import annotations

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
