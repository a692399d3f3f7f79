"""The instant network: a bundled one that is heard at once while another needs longer for its first sound."""

from __future__ import annotations

from rtsep.bundle import Bundle, find_bundle
from rtsep.errors import RtsepError

INSTANT_BUNDLES = ("frame-transformer-2stems", "frame-transformer-4stems")


def instant_bundle(bundle: Bundle) -> Bundle | None:
    """The model with the same stems and frames that can be heard before `bundle`.

    None if `bundle` itself needs no whole windows, or no such model has its weights here.
    """
    recipe = bundle.recipe
    if recipe.window is None:
        return None
    for name in INSTANT_BUNDLES:
        try:
            instant = find_bundle(name)
            fits = instant.recipe.stems == recipe.stems and instant.recipe.stft.n_fft == recipe.stft.n_fft
        except RtsepError:  # none, or with an unreadable recipe
            continue
        if fits and instant.weights_path.exists():
            return instant
    return None
