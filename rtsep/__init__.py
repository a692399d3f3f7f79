"""Real-time music source separation.

    import rtsep

    separator = rtsep.load()                  # the default model
    for block in blocks:                      # float32 (2, n), any n, 44 100 Hz
        stems = separator.feed(block)         # {"vocals": (2, m), ...}, as much as is complete
    stems = separator.flush()                 # the rest: as many samples came out as went in

Names are imported when they are first used: `import rtsep` alone imports neither torch nor numba nor numpy.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtsep.separation.load import load
    from rtsep.separation.separator import Separator

__all__ = ["Separator", "__version__", "load"]
__version__ = "0.1.0"

_PLACES = {"Separator": "separator", "load": "load"}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        import importlib

        return getattr(importlib.import_module(f"rtsep.separation.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'rtsep' has no attribute {name!r}")
