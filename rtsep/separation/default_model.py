"""The model that is used where none is named: the best at hand that this machine plays in this use.

Only models whose quality is known are chosen among; the bundled model needs neither PyTorch nor a measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rtsep.bundle import DEFAULT_BUNDLE, Bundle, find_bundle
from rtsep.errors import RtsepError, has_torch
from rtsep.live_settings import WORDS, choose_live_setting
from rtsep.separation.machine_speed import known_speed, machine_speed, tensors_sha256
from rtsep.timebase import N_FFT, SAMPLE_RATE, synthesis_support

MAX_LOAD = 0.7
"""Share of real time that a model may take: a machine has other things to do too."""
MAX_LIVE_STEP_S = 0.25
"""A longer step doesn't fit into the margin of live sound."""
SPLEETER_2STEMS = "2f91cfccc53a561d665059b01aa87774eccad0ff54ed58d2e85e8199251336fb"


@dataclass(frozen=True)
class KnownModel:
    """A model that is better than the bundled one.

    Attributes:
        vocals_sdr_db: median of 1-s frames, mean of the public excerpts (docs/training.md); 7.30 for the bundled one.
        tensors_sha256: of its weights, see `rtsep.separation.machine_speed.MachineSpeed`: others of that name are
            someone's own, and unknown.
    """

    name: str
    vocals_sdr_db: float
    tensors_sha256: str


BETTER_MODELS = (
    KnownModel("spleeter-2stems", 9.19, SPLEETER_2STEMS),
    KnownModel("spleeter-live-2stems", 8.49, SPLEETER_2STEMS),
)
"""Best first."""


def default_model(
    compute: str = "auto",
    live_latency: str | None = None,
    tell: Callable[[str], object] = lambda line: None,
    on_untried: Callable[[Bundle], object] | None = None,
) -> str:
    """Name of the model for files, or for live sound with this latency (a word or milliseconds).

    Args:
        tell: called with one line, unless there was nothing to choose from.
        on_untried: called with a model that was never measured on this machine, which is then chosen all the same:
            where the instant network plays on if it turns out to be too slow. None: it is measured now, for seconds.
    """
    rejected: list[str] = []
    for known in BETTER_MODELS if has_torch() else ():
        bundle = _at_hand(known.name)
        if bundle is None or not _suits(bundle, live_latency):
            continue
        try:
            if on_untried is not None and known_speed(bundle, compute, live_latency or "standard") is None:
                if tensors_sha256(bundle) != known.tensors_sha256:
                    continue
                on_untried(bundle)
                tell(f"model: {known.name} (the best here; its speed on this machine is measured while it plays)")
                return known.name
            speed = machine_speed(bundle, compute, live_latency or "standard")
        except RtsepError as error:
            rejected.append(f"{known.name} cannot be used: {error}")
            continue
        if speed.tensors_sha256 != known.tensors_sha256:
            continue
        share = f"{100 * speed.realtime_factor:.0f} % of real time on this machine"
        if speed.realtime_factor > MAX_LOAD:
            rejected.append(f"{known.name} is better and takes {share}, more than {100 * MAX_LOAD:.0f} %")
        elif live_latency is not None and speed.longest_step_s > MAX_LIVE_STEP_S:
            step_ms = 1000 * speed.longest_step_s
            rejected.append(f"{known.name} is better and takes up to {step_ms:.0f} ms for a step on this machine")
        else:
            tell(f"model: {known.name} (the best here; takes {share})")
            return known.name
    if rejected:
        tell(f"model: {DEFAULT_BUNDLE} ({'; '.join(rejected)})")
    return DEFAULT_BUNDLE


def _at_hand(name: str) -> Bundle | None:
    """The model of that name if its weights are here."""
    try:
        bundle = find_bundle(name)
        return bundle if bundle.has_weights else None
    except RtsepError:  # none, or with an unreadable recipe
        return None


def _suits(bundle: Bundle, live_latency: str | None) -> bool:
    """Whether a model is meant for this use: files, or a latency that it reaches."""
    if live_latency is None:
        return bundle.recipe.weights_of is None  # one that plays another's weights does so with less delay, no better
    try:
        setting = choose_live_setting(bundle.recipe, live_latency)
    except RtsepError:
        return False
    if live_latency not in WORDS:
        return setting.mode != "low"  # which costs more quality than the better network gains
    return setting.latency_ms <= 1000 * synthesis_support(live_latency, N_FFT) / SAMPLE_RATE
