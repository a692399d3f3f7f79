"""Other people's weights become a model in the user's folder: fetched from where they are published, or from disk."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

import rtsep
from rtsep.bundle import RECIPE_FILE, WEIGHTS_FILE, Bundle, list_bundles, user_folder
from rtsep.convert import d3net
from rtsep.convert.archives import is_archive, unpack
from rtsep.convert.bundles import write_conversion
from rtsep.convert.conversion import Conversion
from rtsep.convert.download import download
from rtsep.convert.published import Published
from rtsep.convert.recognise import convert_path
from rtsep.convert.sums import record_sum, recorded_sum
from rtsep.errors import RtsepError
from rtsep.nn.demucs import authors_class

CARD_FILE = "CARD.md"


def get_weights(entry: Published, *, progress: Callable[[int, int], None], notice: Callable[[str], None]) -> Bundle:
    """Fetch published weights and make a model of them, under the entry's name; if it is here, that is it.

    Spleeter's are not fetched where its own MODEL_PATH holds them. `progress` and `notice` are as for `download`.
    Raises RtsepError in one line, and there is no such model then: the transfer failed, the file is not the one that
    was published (or first fetched), or it holds something else.
    """
    if (here := _with_weights(entry.name)) is not None:
        notice(f"{entry.name}: its weights are here already")
        return here
    if entry.by_hand:
        raise RtsepError(
            f"{entry.address} opens in a browser only: save the file there, "
            f"then `rtsep models import FILE --as {entry.name}`"
        )
    if entry.system == "D3Net":
        d3net.require_h5py(entry.name)
    if entry.system == "HT Demucs":
        authors_class()  # or there is no use for its weights
    if (folder := _kept_by_spleeter(entry)) is not None:
        notice(f"{entry.name}: taken from {folder}, where MODEL_PATH leads")
        return _adopt(convert_path(folder, entry.name), entry.name, entry.licence, str(folder), entry.source)
    downloads = _models_folder() / ".downloads"
    try:
        downloads.mkdir(exist_ok=True)
    except OSError as error:
        raise RtsepError(f"cannot write to {downloads}: {error.strerror}") from error
    ledger = downloads / "sums.json"
    recorded = None if entry.sha256 else recorded_sum(ledger, entry.address)
    file = downloads / f"{entry.name}-{Path(urlsplit(entry.address).path).name}"
    sha256 = download(
        entry.address,
        file,
        size=entry.size,
        sha256=entry.sha256 or recorded,
        known_by=f"recorded in {ledger} when it was first fetched" if recorded else "published by its author",
        progress=progress,
        notice=notice,
    )
    try:
        with _source(file) as source:
            conversion = convert_path(source, entry.name)
        if conversion.recipe.name != entry.name:
            raise RtsepError(f"{entry.address} holds {conversion.recipe.name}, not {entry.name}: it is not taken over")
        if not (entry.sha256 or recorded):
            record_sum(ledger, entry.address, sha256)
            notice(f"{entry.name}: sha256 {sha256} is recorded; any other file from there will be refused")
        return _adopt(conversion, entry.name, entry.licence, f"{entry.address} (sha256 {sha256})", entry.source)
    finally:
        file.unlink(missing_ok=True)


def import_weights(path: Path, name: str | None) -> Bundle:
    """Make a model of a checkpoint, a folder or an archive, told by its keys; nothing is fetched.

    `name` is the model's, else it is called as what it is. Raises RtsepError in one line, and there is no such model
    then, if `path` is nothing known, damaged, or more than data.
    """
    path = path.resolve()
    if not os.path.exists(path):
        raise RtsepError(f"there is no {path}")
    with _source(path) as source:
        conversion = convert_path(source, name)
    name = name or conversion.recipe.name
    if (here := _with_weights(name)) is not None:
        raise RtsepError(f"there is a model {name} already, in {here.path}: give another name by --as, or delete that")
    licence = conversion.licence
    if licence != "unknown":  # the architecture is known, not whose weights they are
        licence = f"{licence} if they are the author's own"
    origin = f"{path.name} (sha256 {_sum(path)})" if path.is_file() else path.name
    return _adopt(conversion, name, licence, origin, "not known")


def _kept_by_spleeter(entry: Published) -> Path | None:
    """The folder with the same checkpoint in the folder where Spleeter keeps its models."""
    root = os.environ.get("MODEL_PATH")
    if not root or entry.system != "Spleeter":
        return None
    folder = Path(root) / Path(urlsplit(entry.address).path).name.removesuffix(".tar.gz")
    return folder if any(folder.glob("*.index")) else None


def _models_folder() -> Path:
    """Where the user's models are; made if need be."""
    folder = user_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RtsepError(f"cannot write to {folder}: {error.strerror}") from error
    return folder


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder beside the models, which is gone afterwards."""
    folder = _models_folder()
    try:
        scratch = tempfile.TemporaryDirectory(prefix=".import-", dir=folder)
    except OSError as error:
        raise RtsepError(f"cannot write to {folder}: {error.strerror}") from error
    with scratch:
        yield Path(scratch.name)


@contextmanager
def _source(path: Path) -> Iterator[Path]:
    """The path itself, or for an archive the folder to which it is unpacked."""
    if not (path.is_file() and is_archive(path)):
        yield path
        return
    with _scratch() as folder:
        place = folder / path.name
        place.mkdir()
        unpack(path, place)
        try:
            yield place
        except RtsepError as error:  # who reads it knows the archive, not where it was unpacked to
            raise RtsepError(str(error).replace(f"{folder}{os.sep}", "")) from error


def _with_weights(name: str) -> Bundle | None:
    return next((bundle for bundle in list_bundles() if bundle.name == name and bundle.weights_path.exists()), None)


def _adopt(conversion: Conversion, name: str, licence: str, origin: str, source: str) -> Bundle:
    """Write the bundle aside, then move it to its place, the recipe last: that is what makes a folder a model."""
    recipe = msgspec.structs.replace(conversion.recipe, name=name)
    folder = _models_folder() / name
    with _scratch() as scratch:
        aside = scratch / "bundle"
        try:
            made = write_conversion(dataclasses.replace(conversion, recipe=recipe, licence=licence), aside)
        except RtsepError as error:  # the user knows the model's place, not where it was put together
            raise RtsepError(str(error).replace(str(aside), str(folder))) from error
        try:
            (made.path / CARD_FILE).write_text(
                f"# {name}\n\n* weights: {origin}\n* source: {source}\n* licence: {licence}\n"
                f"* converted by rtsep {rtsep.__version__}\n",
                encoding="utf-8",
            )
            folder.mkdir(exist_ok=True)
            for file in (WEIGHTS_FILE, CARD_FILE, RECIPE_FILE):
                (made.path / file).replace(folder / file)
        except OSError as error:
            raise RtsepError(f"cannot write the model to {folder}: {error.strerror}") from error
    return Bundle(folder)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
