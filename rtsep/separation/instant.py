"""The instant network: a bundled one that is heard at once while another needs longer for its first sound."""

from __future__ import annotations

from rtsep.bundle import Bundle, find_bundle
from rtsep.errors import RtsepError

INSTANT_BUNDLES = ("frame-transformer-2stems", "frame-transformer-4stems")


def instant_bundle(bundle: Bundle) -> Bundle | None:
    """The model that can be heard before `bundle` in the same worker: with the same stems in the same order and frames.

    None if `bundle` itself needs no whole windows, or no such model has its weights here.
    """
    recipe = bundle.recipe
    if recipe.window is None:
        return None
    instant = stand_in(bundle)
    if instant is None or instant.recipe.stems != recipe.stems or instant.recipe.stft.n_fft != recipe.stft.n_fft:
        return None
    return instant


def stand_in(bundle: Bundle) -> Bundle | None:
    """The instant model with the stems of `bundle`, in whatever order; None if it is `bundle` itself or not here."""
    for name in INSTANT_BUNDLES:
        try:
            instant = find_bundle(name)
            fits = set(instant.recipe.stems) == set(bundle.recipe.stems)
        except RtsepError:  # none, or with an unreadable recipe
            continue
        if fits and instant.weights_path.exists() and bundle.recipe.network != instant.recipe.network:
            return instant
    return None
