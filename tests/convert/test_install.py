"""Published weights and those from disk become models that are found, or nothing at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from rtsep.bundle import Bundle, find_bundle, list_bundles, write_bundle
from rtsep.convert.families.spleeter import RELEASED, Config
from rtsep.convert.fetch.published import Published, find_published, published
from rtsep.convert.install import get_weights, import_weights
from rtsep.errors import RtsepError
from rtsep.recipe import load_recipe
from tests.convert.malicious import Malicious
from tests.convert.published_files import (
    ARCHIVE,
    CONFIG,
    INSTRUMENTS,
    port_zip,
    spleeter_archive,
    spleeter_folder,
    write_tar,
    write_zip,
)
from tests.convert.web import Web

MODELS = Path(__file__).parent.parent.parent / "models"


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder; not there yet."""
    for name in ("MODEL_PATH", "GITHUB_HOST", "GITHUB_RELEASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(tmp_path / "user" / "models"))
    return tmp_path / "user" / "models"


Get = Callable[[str], Bundle]


@pytest.fixture
def get(web: Web, monkeypatch: pytest.MonkeyPatch, notices: list[str]) -> Get:
    """`get_weights` where Spleeter is published by the test's server, in a release without sums."""
    monkeypatch.setenv("GITHUB_HOST", web.address)
    monkeypatch.setenv("GITHUB_RELEASE", "test")
    return lambda name: fetch(find_published(name), notices)


@pytest.fixture
def notices() -> list[str]:
    return []


def fetch(entry: Published, notices: list[str]) -> Bundle:
    return get_weights(entry, progress=lambda done, total: None, notice=notices.append)


def fails(action: Callable[[], object], match: str, models: Path) -> str:
    """What it says, in one line, and there is no model."""
    with pytest.raises(RtsepError, match=match) as caught:
        action()
    assert "\n" not in str(caught.value)
    left = {path.relative_to(models).as_posix() for path in models.rglob("*")} if models.exists() else set()
    assert left <= {".downloads", ".downloads/sums.json"}
    return str(caught.value)


def test_every_entry_of_the_table_is_a_model_that_is_listed_here() -> None:
    for name, entry in published().items():
        assert (MODELS / name / "recipe.toml").is_file()
        assert entry.address.startswith("https://")
        assert entry.source.startswith("https://")
        assert entry.sha256 is None or len(bytes.fromhex(entry.sha256)) == 32
    with pytest.raises(RtsepError, match="'zzz': available for spleeter-2stems, "):
        find_published("zzz")


def test_mirrors_have_the_published_files_and_other_releases_others(monkeypatch: pytest.MonkeyPatch) -> None:
    original = find_published("spleeter-2stems")
    monkeypatch.setenv("GITHUB_HOST", "http://mirror:8080/")
    mirrored = find_published("spleeter-2stems")
    assert mirrored.address == "http://mirror:8080/deezer/spleeter/releases/download/v1.4.0/2stems.tar.gz"
    assert (mirrored.size, mirrored.sha256) == (original.size, original.sha256) != (None, None)
    monkeypatch.setenv("GITHUB_RELEASE", "v9")
    other = find_published("spleeter-2stems")
    assert other.address == "http://mirror:8080/deezer/spleeter/releases/download/v9/2stems.tar.gz"
    assert (other.size, other.sha256) == (None, None)
    assert find_published("vocal-remover-v5").address.startswith("https://github.com/")


def test_fetched_weights_are_a_model_that_is_found(web: Web, get: Get, tmp_path: Path, models: Path) -> None:
    content = spleeter_archive(tmp_path)
    web.page(ARCHIVE, content, cuts=[len(content) // 2])
    bundle = get("spleeter-2stems")
    assert bundle.path == models / "spleeter-2stems"
    assert find_bundle("spleeter-2stems").path == bundle.path
    assert bundle.licence == "MIT (Deezer)"
    assert bundle.load_network().stems == ("vocals", "instrumental")
    card = (bundle.path / "CARD.md").read_text()
    assert web.address + ARCHIVE in card
    assert hashlib.sha256(content).hexdigest() in card
    assert "https://github.com/deezer/spleeter" in card
    assert "--mask-extension zeros" in card
    assert {path.name for path in models.iterdir()} == {"spleeter-2stems", ".downloads"}
    assert os.listdir(models / ".downloads") == ["sums.json"]
    assert web.ranges == [None, f"bytes={len(content) // 2}-"]


def test_what_is_here_is_not_fetched_again(web: Web, get: Get, tmp_path: Path, notices: list[str]) -> None:
    web.page(ARCHIVE, spleeter_archive(tmp_path))
    get("spleeter-2stems")
    web.asked.clear()
    assert get("spleeter-2stems").name == "spleeter-2stems"
    assert web.asked == []
    assert "already installed" in notices[-1]


def test_a_file_that_changes_after_its_first_use_is_refused(
    web: Web, get: Get, tmp_path: Path, models: Path, notices: list[str]
) -> None:
    content = spleeter_archive(tmp_path)
    web.page(ARCHIVE, content)
    assert get("spleeter-2stems").path.exists()
    assert hashlib.sha256(content).hexdigest() in notices[-1]
    shutil.rmtree(models / "spleeter-2stems")
    web.page(ARCHIVE, spleeter_archive(tmp_path, seed=1))
    said = fails(lambda: get("spleeter-2stems"), "is a different file", models)
    assert str(models / ".downloads" / "sums.json") in said, "where to agree to the change"
    fails(lambda: get("spleeter-2stems-16kHz"), "is a different file", models)  # the same address
    web.page(ARCHIVE, content)
    assert get("spleeter-2stems").path.exists()


def test_a_damaged_record_of_sums_is_not_passed_over(web: Web, get: Get, tmp_path: Path, models: Path) -> None:
    web.page(ARCHIVE, spleeter_archive(tmp_path))
    (models / ".downloads").mkdir(parents=True)
    (models / ".downloads" / "sums.json").write_text("{")
    fails(lambda: get("spleeter-2stems"), r"sums.json \(.*\) is damaged", models)


def test_another_file_than_published_is_refused(web: Web, tmp_path: Path, models: Path, notices: list[str]) -> None:
    content = spleeter_archive(tmp_path)
    entry = msgspec.structs.replace(
        find_published("spleeter-2stems"), address=web.page("/2stems.tar.gz", content), size=len(content)
    )
    fails(lambda: fetch(entry, notices), "published by its author", models)
    fails(lambda: fetch(msgspec.structs.replace(entry, size=7), notices), "expected 7", models)
    right = msgspec.structs.replace(entry, sha256=hashlib.sha256(content).hexdigest())
    assert fetch(right, notices).path.exists()
    assert not (models / ".downloads" / "sums.json").exists(), "a published sum needs no record"


@pytest.mark.parametrize("trouble", ["empty", "another system", "cut", "html", "malicious"])
def test_what_is_no_such_checkpoint_leaves_nothing(
    web: Web, get: Get, tmp_path: Path, models: Path, trouble: str
) -> None:
    contents = {
        "empty": lambda: write_tar(tmp_path / "e.tar.gz", {}).read_bytes(),
        "another system": lambda: spleeter_archive(tmp_path, instruments=("vocals", "drums", "bass", "other")),
        "cut": lambda: spleeter_archive(tmp_path)[:-1000],
        "html": lambda: b"<html>sign in</html>",
        "malicious": lambda: malicious_zip(tmp_path).read_bytes(),
    }
    web.page(ARCHIVE, contents[trouble]())
    fails(lambda: get("spleeter-2stems"), "holds|archive|refused|state dict", models)
    assert not (models / ".downloads" / "sums.json").exists(), "a sum is recorded with weights that are good"
    assert not (tmp_path / "mark").exists()


def test_what_spleeter_has_is_not_fetched(
    web: Web, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notices: list[str]
) -> None:
    monkeypatch.setenv("MODEL_PATH", str(tmp_path / "pretrained"))
    (tmp_path / "pretrained" / "2stems").mkdir(parents=True)
    with pytest.raises(RtsepError, match="404"):  # an empty folder, as Spleeter makes it before it downloads
        get("spleeter-2stems")
    web.asked.clear()
    spleeter_folder(tmp_path / "pretrained" / "2stems")
    assert get("spleeter-2stems").load_network().stems == ("vocals", "instrumental")
    assert web.asked == []
    assert "MODEL_PATH" in notices[-1]


def test_what_only_a_browser_can_fetch_is_told(models: Path, notices: list[str]) -> None:
    said = fails(lambda: fetch(find_published("carperbr-b"), notices), "mega.nz", models)
    assert "rtsep models import FILE --as carperbr-b" in said


def malicious_zip(folder: Path) -> Path:
    torch.save({"weight": torch.zeros(3), "payload": Malicious(folder / "mark")}, folder / "bad.pth")
    return write_zip(folder / "bad.zip", {"models/bad.pth": (folder / "bad.pth").read_bytes()})


def test_the_mark_of_a_malicious_pickle_would_be_seen(tmp_path: Path) -> None:
    malicious_zip(tmp_path)
    torch.load(tmp_path / "bad.pth", weights_only=False)
    assert (tmp_path / "mark").exists()


def test_malicious_pickles_are_refused_and_nothing_runs(tmp_path: Path, models: Path) -> None:
    path = malicious_zip(tmp_path)
    for bad in (path, tmp_path / "bad.pth"):
        fails(lambda bad=bad: import_weights(bad, None), "bad.pth is refused", models)
    assert not (tmp_path / "mark").exists()


@pytest.fixture
def small_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spleeter of two stems in the size of these files."""
    small = msgspec.convert(CONFIG | {"instrument_list": INSTRUMENTS}, Config)
    monkeypatch.setitem(RELEASED, "spleeter-2stems", small)


@pytest.mark.usefixtures("small_release")
@pytest.mark.parametrize("kind", ["file", "zip", "folder", "tar"])
def test_a_checkpoint_is_told_by_its_keys_wherever_it_lies(kind: str, tmp_path: Path, models: Path) -> None:
    archive = port_zip(tmp_path)
    if kind == "tar":
        archive = write_tar(tmp_path / "a.tar.xz", {"x/y.pth": (tmp_path / "baseline.pth").read_bytes()})
    elif kind == "folder":
        archive.unlink()
    place = {"file": tmp_path / "baseline.pth", "folder": tmp_path}.get(kind, archive)
    bundle = import_weights(place, None)
    assert bundle.path == models / "spleeter-2stems"
    assert bundle.load_network().stems == ("vocals", "instrumental")
    assert bundle.licence == "MIT (official weights)"
    assert [path.name for path in models.iterdir()] == ["spleeter-2stems"]


@pytest.mark.usefixtures("small_release")
def test_a_model_may_have_another_name_but_none_that_is_taken(tmp_path: Path, models: Path) -> None:
    port_zip(tmp_path)
    path = tmp_path / "baseline.pth"
    bundle = import_weights(path, "mine")
    assert (bundle.name, bundle.recipe.name) == ("mine", "mine")
    weights = bundle.weights_path.read_bytes()
    with pytest.raises(RtsepError, match="a model mine exists already"):
        import_weights(path, "mine")
    with pytest.raises(RtsepError, match="a model frame-transformer-2stems exists already"):  # that comes along
        import_weights(path, "frame-transformer-2stems")
    assert bundle.weights_path.read_bytes() == weights
    assert "mine" in [bundle.name for bundle in list_bundles()]


def test_spleeters_own_folder_is_imported_with_its_configuration(tmp_path: Path) -> None:
    bundle = import_weights(spleeter_folder(tmp_path / "my-run"), "mine")
    assert bundle.recipe.stft.bins == 16
    assert bundle.licence == "unknown"
    assert bundle.load_network().stems == ("vocals", "instrumental")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.pth", b"", "state dict|damaged"),
        ("a.pth", b"\x80\x02garbage", "refused|damaged"),
        ("a.h5", b"text", "HDF5|h5py"),
        ("a.zip", b"text", "damaged or not an archive"),
        ("a.tar.gz", b"text", "damaged or not an archive"),
        ("song.wav", b"RIFF", "refused|damaged"),
    ],
)
def test_files_that_hold_no_weights_are_one_line(
    name: str, content: bytes, match: str, tmp_path: Path, models: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert name in fails(lambda: import_weights(tmp_path / name, None), match, models)


def test_a_checkpoint_that_is_cut_off_anywhere_is_one_line(tmp_path: Path, models: Path) -> None:
    port_zip(tmp_path)
    content = (tmp_path / "baseline.pth").read_bytes()
    for size in np.linspace(0, len(content) - 1, 9, dtype=int):
        (tmp_path / "cut.pth").write_bytes(content[:size])
        fails(lambda: import_weights(tmp_path / "cut.pth", None), "cut.pth", models)


def test_names_of_tensors_do_not_write_on_the_terminal(tmp_path: Path, models: Path) -> None:
    torch.save({"stems.vocals.encoder_layers.0.conv.\n\x1b[2J": torch.zeros(1)}, tmp_path / "a.pth")
    assert fails(lambda: import_weights(tmp_path / "a.pth", None), "not a state dict", models).isprintable()


def test_folders_with_none_or_several_are_one_line(tmp_path: Path, models: Path) -> None:
    (tmp_path / "empty").mkdir()
    fails(lambda: import_weights(tmp_path / "empty", None), "holds no weights", models)
    fails(lambda: import_weights(tmp_path / "none", None), "no such file or folder", models)
    port_zip(tmp_path)
    spleeter_folder(tmp_path / "spleeter")
    said = fails(lambda: import_weights(tmp_path, None), "weights in 2 places", models)
    assert "baseline.pth, spleeter" in said


OWN_RECIPE = """\
# kept: why this network has two stems
name = "ours"
network = "tests.networks:Constant"
stems = ["vocals", "instrumental"]
[stft]
bins = 64
"""


@pytest.fixture
def own_bundle(tmp_path: Path) -> Bundle:
    """A bundle as training leaves it, with a card."""
    (tmp_path / "recipe.toml").write_text(OWN_RECIPE)
    recipe = load_recipe(tmp_path / "recipe.toml")
    halves = {"gain": torch.linspace(0, 1, 7, dtype=torch.float16)}
    bundle = write_bundle(tmp_path / "runs" / "bundle", recipe, OWN_RECIPE, halves, "CC0")
    (bundle.path / "CARD.md").write_text("# Ours\n\nscores", encoding="utf-8")
    return bundle


@pytest.mark.parametrize("kind", ["folder", "parent", "zip", "weights", "recipe"])
def test_our_own_bundle_is_imported_as_it_is(kind: str, own_bundle: Bundle, tmp_path: Path, models: Path) -> None:
    files = {path.name: path.read_bytes() for path in own_bundle.path.iterdir()}
    place = {
        "folder": own_bundle.path,
        "parent": own_bundle.path.parent,
        "zip": write_zip(tmp_path / "ours.zip", {f"ours/{name}": content for name, content in files.items()}),
        "weights": own_bundle.weights_path,
        "recipe": own_bundle.path / "recipe.toml",
    }[kind]
    bundle = import_weights(place, None)
    assert bundle.path == models / "ours"
    assert {path.name: path.read_bytes() for path in bundle.path.iterdir()} == files
    renamed = import_weights(place, "mine")
    assert (renamed.recipe.name, renamed.licence) == ("mine", "CC0")
    assert "# kept" in (renamed.path / "recipe.toml").read_text()
    assert renamed.weights_path.read_bytes() == files["weights.safetensors"]


def test_our_own_bundle_is_verified(own_bundle: Bundle, models: Path) -> None:
    content = bytearray(own_bundle.weights_path.read_bytes())
    content[-1] ^= 1
    own_bundle.weights_path.write_bytes(content)
    fails(lambda: import_weights(own_bundle.path, None), "sha256", models)
    own_bundle.weights_path.unlink()
    fails(lambda: import_weights(own_bundle.path, None), "weights.safetensors", models)


def test_numpy_arrays_are_refused_by_that_name(tmp_path: Path, models: Path) -> None:
    torch.save({"weight": np.zeros(3)}, tmp_path / "a.pth")
    np.savez(tmp_path / "b.npz", weight=np.zeros(3))
    for name in ("a.pth", "b.npz"):
        fails(lambda name=name: import_weights(tmp_path / name, None), f"{name}.* NumPy arrays", models)


@pytest.mark.usefixtures("small_release")
def test_the_activations_assumed_for_a_port_of_spleeter_are_reported(tmp_path: Path, notices: list[str]) -> None:
    port_zip(tmp_path)
    import_weights(tmp_path / "baseline.pth", None, notices.append)
    assert "2 stems: leaky_relu in the encoder, relu in the decoder, sigmoid masks" in notices[0]
    assert "masks end at 0.2 kHz and continue above by the mean of their top octave" in notices[1]


@pytest.mark.usefixtures("small_release")
def test_a_models_folder_that_cannot_be_is_one_line(
    web: Web, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(tmp_path / "file"))
    port_zip(tmp_path)
    fails(lambda: import_weights(tmp_path / "separator.zip", None), "cannot write", models)
    fails(lambda: import_weights(tmp_path / "baseline.pth", None), "cannot write", models)
    fails(lambda: get("spleeter-2stems"), "cannot write", models)
