"""`rtsep models get` and `rtsep models import`: other people's weights become models here."""

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rtsep.cli.output.progress_line import ProgressLine
from rtsep.errors import UsageError

if TYPE_CHECKING:
    from rtsep.bundle import Bundle


def get_model(name: str, /) -> None:
    """Fetch the weights that a model's author published, and make a model of them that `--model NAME` finds.

    A transfer that broke off goes on where it ended when it is run again. The model is written to the folder that
    RTSEP_MODEL_DIR names, else to the user's cache. Spleeter's MODEL_PATH, GITHUB_HOST and GITHUB_RELEASE are heeded.

    Parameters
    ----------
    name
        One of those that `rtsep models list` says this of.
    """
    from rtsep.convert.adopt import get_weights
    from rtsep.convert.published import find_published

    entry = find_published(name)
    size = f"{entry.size / 1e6:.1f} MB" if entry.size else "size unknown"
    print(f"{entry.name}  weights of {entry.system}, {size}")
    print(f"    licence: {entry.licence}")
    print(f"    source: {entry.source}")
    print(f"    address: {entry.address}")
    print(f"    sha256: {entry.sha256 or 'unknown, its author published none'}", flush=True)
    with ProgressLine(before=None) as line:

        def notice(text: str) -> None:
            line.clear()
            print(f"rtsep: {text}", file=sys.stderr)

        bundle = get_weights(entry, progress=partial(line.show, entry.name), notice=notice)
    print(f"    {bundle.path}")


def import_model(path: Path, /, *, as_: Annotated[str | None, Parameter(name="--as")] = None) -> None:
    """Make a model of weights from elsewhere, which are recognised by their keys. Nothing of theirs is run.

    Spleeter's TensorFlow checkpoints (a folder; with its JSON if it is no published one), state dicts of its port
    pt-spleeter, of tsurumeso's vocal remover and carperbr's frame transformer (.pth, .pt), packages of HT Demucs (.th,
    .safetensors, .yaml for several), D3Net's .h5 files, and archives of these.

    Parameters
    ----------
    path
        A file, a folder or an archive.
    as_
        Name of the model. Default: what it is.
    """
    if as_ is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", as_):
        raise UsageError(f"--as {as_}: expected letters, digits, dots, dashes and underscores")
    from rtsep.convert.adopt import import_weights

    _print_model(import_weights(path, as_))


def _print_model(bundle: "Bundle") -> None:
    print(f"{bundle.name}  {', '.join(bundle.recipe.stems)}")
    print(f"    licence: {bundle.licence}")
    print(f"    {bundle.path}")
