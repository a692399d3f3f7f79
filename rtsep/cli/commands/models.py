"""`rtsep models list` and `rtsep models check`."""

import json as json_format
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rtsep.cli.arguments import Flag
from rtsep.errors import MissingPackage, MissingWeights, RtsepError, has_torch
from rtsep.ui.console import put, say

if TYPE_CHECKING:
    from rtsep.bundle import Bundle
    from rtsep.cli.model_sizes import Size


@dataclass(frozen=True)
class _Row:
    """One model with its live settings; for sizes see `rtsep.cli.model_sizes.Size`.

    `latencies_ms`: all that `rtsep live --latency` can choose from.
    `published`: `rtsep models get` can download its weights.
    `default`: it is used for files where no model is named.
    """

    name: str
    description: str
    stems: list[str]
    parameters: int
    gmac_per_s: float | None
    latency_ms: float | None
    latencies_ms: list[float]
    licence: str
    path: str
    weights: bool
    published: bool
    problem: str | None = None
    default: bool = False


def list_models(*, json: Flag = False) -> None:
    """List models: stems, size, cost, latency, licence, folder.

    Models are searched in the folder in RTSEP_MODEL_DIR, or else in the user's cache, and among the bundled ones.

    Parameters
    ----------
    json
        Print a JSON list.
    """
    from rtsep.bundle import bundle_folders, list_bundles
    from rtsep.cli.model_sizes import recorded_sizes
    from rtsep.convert.fetch.published import published
    from rtsep.separation.default_model import default_model

    known, recorded = published(), recorded_sizes()
    bundles = list_bundles()
    default = default_model(on_untried=lambda bundle: None)
    rows = (  # counting others takes a second each
        replace(_row(bundle, recorded, known), default=bundle.name == default) for bundle in bundles
    )
    if json:
        put(json_format.dumps([asdict(row) for row in rows]))
        return
    if not bundles:
        places = ", ".join(str(folder) for folder in bundle_folders())
        say(f"no models in {places}")
    for row in rows:
        if row.problem:
            put(f"{row.name}  {row.path}")
            put(f"    cannot be used: {row.problem}")
            continue
        remedy = f": `rtsep models get {row.name}`" if row.published else ""
        state = "" if row.weights else f"  (weights not downloaded{remedy})"
        put(f"{row.name}  {', '.join(row.stems)}{'  (default for files)' if row.default else ''}{state}")
        if row.description:
            put(f"    {row.description}")
        cost = "" if row.gmac_per_s is None else f"{row.gmac_per_s:.2f} GMAC/s, "
        latency = "files only" if row.latency_ms is None else f"{row.latency_ms:.0f} ms standard latency"
        longer = [f"{ms:.0f}" for ms in row.latencies_ms if row.latency_ms is not None and ms > row.latency_ms]
        latency += f", also {' or '.join(longer)} ms" if longer else ""
        put(f"    {row.parameters / 1e6:.2f} M parameters, {cost}{latency}")
        put(f"    licence: {row.licence or 'not stated'}")
        put(f"    {row.path}")
    put("Licences: rtsep's code MIT; weights as listed; the pyfftw wheel contains FFTW (GPL 2 or later)")


def check_models(names: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (), /) -> int:
    """Verify models: the checksum of their weights, and the streaming contract of their networks.

    Parameters
    ----------
    names
        Names or folders. Default: every model whose weights and required packages are installed.
    """
    from rtsep.bundle import find_bundle, list_bundles

    bundles = [find_bundle(name) for name in names] if names else list_bundles()
    if not bundles:
        raise RtsepError("no models to check: name a folder with a recipe.toml")
    failed = 0
    for bundle in bundles:
        try:
            problems = _problems(bundle)
        except (MissingWeights, MissingPackage) as error:
            if not names:
                missing = "weights not downloaded" if isinstance(error, MissingWeights) else str(error)
                put(f"{bundle.name}: {missing}")
                continue
            problems = [str(error)]
        failed += bool(problems)
        put(f"{bundle.name}: {'FAILED' if problems else 'ok'}")
        for problem in problems:
            put(f"    {problem}")
    if failed:
        return 3 if failed < len(bundles) else 1
    return 0


def _problems(bundle: "Bundle") -> list[str]:
    from rtsep.separation.backends.check import check_stepper
    from rtsep.separation.backends.choose import load_stepper

    try:
        if not has_torch():
            return check_stepper(load_stepper(bundle, "cpu", live=True))
        from rtsep.nn.check import check_network
        from rtsep.nn.segment_network import check_segments

        if bundle.recipe.segments is not None:
            return check_segments(bundle.load_segment_network())
        problems = list(check_network(bundle.load_network(live=True)))
        return (
            problems
            if bundle.averaged_with is None
            else problems + check_stepper(load_stepper(bundle, "cpu", live=True))
        )
    except (MissingWeights, MissingPackage):
        raise
    except Exception as error:  # a network may be anyone's code and raise anything
        return [_in_one_line(error)]


def _row(bundle: "Bundle", recorded: "dict[str, Size]", known: Collection[str]) -> _Row:
    from rtsep.cli.model_sizes import find_size
    from rtsep.live_settings import live_settings

    has_weights, is_published = False, bundle.name in known
    try:
        is_published = bundle.weights_name in known
        has_weights = bundle.has_weights
        recipe = bundle.recipe
        size = find_size(recipe, recorded)
        sizes = [size, *([find_size(bundle.averaged_with.recipe, recorded)] if bundle.averaged_with else [])]
        return _Row(
            name=bundle.name,
            description=recipe.description,
            stems=list(recipe.stems),
            parameters=sum(each.parameters for each in sizes),
            gmac_per_s=None if size.gmac_per_s is None else sum(each.gmac_per_s or 0.0 for each in sizes),
            latency_ms=size.latency_ms,
            latencies_ms=[] if size.latency_ms is None else [round(s.latency_ms, 1) for s in live_settings(recipe)],
            licence=bundle.licence,
            path=str(bundle.path),
            weights=has_weights or size.parameters == 0,
            published=is_published,
        )
    except Exception as error:  # as above; the other models must still be listed
        problem = _in_one_line(error)
        return _Row(bundle.name, "", [], 0, 0.0, 0.0, [], "", str(bundle.path), has_weights, is_published, problem)


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, RtsepError) else ": ".join(filter(None, [type(error).__name__, text]))
