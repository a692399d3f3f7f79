"""D3Net in its authors' code with random weights: its parameter files, and its outputs for given magnitudes.

Runs in the peer's own environment: `python d3net_equality.py CODE FOLDER`; CODE is d3net/music-source-separation of a
checkout. Writes FOLDER/TARGET.h5 and FOLDER/outputs.npz.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import nnabla
import numpy as np
import yaml

TARGETS = ("vocals", "drums", "bass", "other")
FRAMES = 32


def random_value(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """A value for the parameter of that name, such that every one matters: none is zero or one."""
    leaf = name.rpartition("/")[2]
    if leaf == "W":
        return random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    if leaf in ("gamma", "var", "in_scale", "decode_scale"):
        return random.uniform(0.5, 1.5, shape)
    return 0.1 * random.standard_normal(shape) + (leaf == "decode_bias")


def main() -> None:
    code, folder = Path(sys.argv[1]), Path(sys.argv[2])
    sys.path.insert(0, str(code))
    from model import D3NetMSS

    random = np.random.default_rng(3)
    magnitudes = random.random((FRAMES, 2, 2049)).astype(np.float32) ** 3
    answers = {}
    for target in TARGETS:
        nnabla.clear_parameters()
        sizes = yaml.safe_load((code / "configs" / f"{target}.yaml").read_text())
        with nnabla.parameter_scope(target):
            answer = D3NetMSS(sizes, test=True)(nnabla.Variable.from_numpy_array(magnitudes[None]))
            for name, parameter in nnabla.get_parameters(grad_only=False).items():
                parameter.d = random_value(name, parameter.shape, random)
            answer.forward()
        answers[target] = answer.d[0].copy()
        nnabla.save_parameters(str(folder / f"{target}.h5"))
    np.savez(folder / "outputs.npz", magnitudes=magnitudes, **answers)
    print(json.dumps({"nnabla": importlib.metadata.version("nnabla")}))


main()
