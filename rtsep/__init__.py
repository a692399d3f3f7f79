"""Real-time music source separation. docs/python.md describes the interface.

    import rtsep

    stems = rtsep.separate("song.mp3")            # {"vocals": float32 (2, n), ...}
    stems.save("out")                             # out/vocals.wav, ...

    with rtsep.load(chunk=1) as separator:        # a stream at 44 100 Hz
        for block in blocks:                      # float32 (2, n), any n
            stems = separator.feed(block)         # {"vocals": (2, m), ...}, as much as is complete
        stems = separator.flush()                 # the rest: as many samples as were fed

Names are imported when they are first used: `import rtsep` alone imports neither torch nor numba nor numpy.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtsep.batch.separate_files import SongResult, separate_files
    from rtsep.errors import (
        ArgumentError,
        BrokenNetwork,
        Cancelled,
        DeviceLost,
        MissingPackage,
        MissingWeights,
        RtsepError,
        UsageError,
    )
    from rtsep.model_list import ModelInfo, list_models
    from rtsep.separation.load import load
    from rtsep.separation.separate import separate, separate_all
    from rtsep.separation.separator import Separator
    from rtsep.separation.stems import Stems

__all__ = [
    "ArgumentError",
    "BrokenNetwork",
    "Cancelled",
    "DeviceLost",
    "MissingPackage",
    "MissingWeights",
    "ModelInfo",
    "RtsepError",
    "Separator",
    "SongResult",
    "Stems",
    "UsageError",
    "__version__",
    "list_models",
    "load",
    "separate",
    "separate_all",
    "separate_files",
]
__version__ = "0.1.0"

_MODULES = {
    "ModelInfo": "model_list",
    "Separator": "separation.separator",
    "SongResult": "batch.separate_files",
    "Stems": "separation.stems",
    "list_models": "model_list",
    "load": "separation.load",
    "separate": "separation.separate",
    "separate_all": "separation.separate",
    "separate_files": "batch.separate_files",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'rtsep' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"rtsep.{_MODULES.get(name, 'errors')}"), name)
