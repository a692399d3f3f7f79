"""`rtsep models`: what models are here, and whether they keep their promises."""

import json as json_format
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rtsep.cli.arguments import Flag
from rtsep.errors import MissingPackage, MissingWeights, RtsepError, has_torch

if TYPE_CHECKING:
    from rtsep.bundle import Bundle
    from rtsep.cli.model_sizes import Size


@dataclass(frozen=True)
class _Row:
    """One model, with its live settings; sizes as `rtsep.cli.model_sizes.Size` has them.

    `published`: `rtsep models get` knows its weights.
    """

    name: str
    stems: list[str]
    parameters: int
    gmac_per_s: float | None
    latency_ms: float | None
    licence: str
    path: str
    weights: bool
    published: bool
    problem: str | None = None


def list_models(*, json: Flag = False) -> None:
    """List the models that are here: stems, size, cost, latency, licence, place.

    Looked for in the folder that RTSEP_MODEL_DIR names, in the user's cache, and among what came along.

    Parameters
    ----------
    json
        A JSON list on stdout.
    """
    from rtsep.bundle import bundle_folders, list_bundles
    from rtsep.cli.model_sizes import recorded_sizes
    from rtsep.convert.fetch.published import published

    known, recorded = published(), recorded_sizes()
    bundles = list_bundles()
    rows = (_row(bundle, recorded, bundle.name in known) for bundle in bundles)  # own ones take a second each to count
    if json:
        print(json_format.dumps([asdict(row) for row in rows]))
        return
    if not bundles:
        places = ", ".join(str(folder) for folder in bundle_folders())
        print(f"rtsep: no models in {places}", file=sys.stderr)
    for row in rows:
        if row.problem:
            print(f"{row.name}  {row.path}\n    unusable: {row.problem}")
            continue
        remedy = f": `rtsep models get {row.name}`" if row.published else ""
        state = "" if row.weights else f"  (its weights are not here{remedy})"
        print(f"{row.name}  {', '.join(row.stems)}{state}")
        cost = "" if row.gmac_per_s is None else f"{row.gmac_per_s:.2f} GMAC a second, "
        latency = "for files alone" if row.latency_ms is None else f"{row.latency_ms:.0f} ms of standard latency"
        print(f"    {row.parameters / 1e6:.2f} M parameters, {cost}{latency}")
        print(f"    licence: {row.licence or 'none given'}")
        print(f"    {row.path}", flush=True)
    print("rtsep's code: MIT; the weights: as listed; pyfftw's wheel, which comes along, carries FFTW (GPL 2 or later)")


def check_models(names: Annotated[tuple[str, ...], Parameter(negative="")] = (), /) -> int:
    """Verify models: checksum of the weights, and the contract that streaming rests on.

    Parameters
    ----------
    names
        Names or folders. Default: every model whose weights, and the package that it may need, are here.
    """
    from rtsep.bundle import find_bundle, list_bundles

    bundles = [find_bundle(name) for name in names] if names else list_bundles()
    if not bundles:
        raise RtsepError("there are no models to check; name a folder with a recipe.toml")
    failed = 0
    for bundle in bundles:
        try:
            problems = _problems(bundle)
        except (MissingWeights, MissingPackage) as error:
            if not names:
                missing = "its weights are not here" if isinstance(error, MissingWeights) else str(error)
                print(f"{bundle.name}: {missing}", flush=True)
                continue
            problems = [str(error)]
        failed += bool(problems)
        print(f"{bundle.name}: {'FAILED' if problems else 'ok'}", *problems, sep="\n    ", flush=True)
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
        return list(check_network(bundle.load_network(live=True)))
    except (MissingWeights, MissingPackage):
        raise
    except Exception as error:  # a network is anybody's code: whatever it raises is what is wrong with it
        return [_in_one_line(error)]


def _row(bundle: "Bundle", recorded: "dict[str, Size]", is_published: bool) -> _Row:
    from rtsep.cli.model_sizes import find_size

    has_weights = False
    try:
        has_weights = bundle.weights_path.exists()
        size = find_size(bundle.recipe, recorded)
        return _Row(
            name=bundle.name,
            stems=list(bundle.recipe.stems),
            parameters=size.parameters,
            gmac_per_s=size.gmac_per_s,
            latency_ms=size.latency_ms,
            licence=bundle.licence,
            path=str(bundle.path),
            weights=has_weights or size.parameters == 0,
            published=is_published,
        )
    except Exception as error:  # as above; the other models are to be listed all the same
        problem = _in_one_line(error)
        return _Row(bundle.name, [], 0, 0.0, 0.0, "", str(bundle.path), has_weights, is_published, problem)


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, RtsepError) else ": ".join(filter(None, [type(error).__name__, text]))
