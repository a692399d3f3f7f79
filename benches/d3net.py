"""Equality with Sony's D3Net: its authors' code with random weights, saved as parameter files and read here.

    python -m benches.d3net CODE [OUT]    # CODE: d3net/music-source-separation of sony/ai-research-code at cfe96df

The first run makes an environment for nnabla, OUT/peers/d3net. Exit code 1 if an estimate differs by more than
rounding errors. It has never run: there was no build of nnabla for the Python and machine at hand. Until then our D3Net
follows the paper, Sony's code and the published parameter counts, and is not proved equal.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benches import environments
from rtsep.bundle import build_network
from rtsep.convert.dispatch import convert_path
from rtsep.nn.windowed import Windowed

NAME = "d3net"
LIMIT = 1e-4
"""Limit of the difference; magnitudes lie between 0 and 1."""


@torch.inference_mode()
def main(code: str, out: str = "out/bench") -> int:
    if not (Path(out) / "peers" / NAME).exists():
        environments.install(NAME, ["nnabla", "h5py", "pyyaml"], Path(out))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = environments.answer(
            NAME, [str(Path(code).resolve()), name], Path(out), "python -m benches.d3net", program="d3net-equality"
        )
        conversion = convert_path(folder)
        with np.load(folder / "outputs.npz") as outputs:
            answers = {target: torch.from_numpy(outputs[target]) for target in conversion.recipe.stems}
            magnitudes = torch.from_numpy(outputs["magnitudes"])  # (T, C, F)
    network = build_network(conversion.recipe).eval()
    assert isinstance(network, Windowed)
    network.network.load_state_dict(conversion.tensors)
    seen = magnitudes[..., : network.bins].permute(1, 2, 0)[None]
    estimates = network.network.estimates(seen)[0].permute(0, 3, 1, 2)  # type: ignore[operator]
    print(f"nnabla {told['nnabla']}")
    worst = 0.0
    for (target, answer), ours in zip(answers.items(), estimates, strict=True):
        difference = float((answer[..., : network.bins] - ours).abs().max())
        print(f"{target}: mean estimate {float(answer.mean()):.3f}, largest difference {difference:.1e}")
        worst = max(worst, difference)
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
