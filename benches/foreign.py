"""Equality of ported networks with their authors' code. Writes the golden files of the tests.

    python -m benches.foreign vocal-remover-5 FOLDER    # a checkout of tsurumeso/vocal-remover at a24e11e
    python -m benches.foreign vocal-remover-6 FOLDER    # at 2038060
    python -m benches.foreign carperbr-a FOLDER         # carperbr/vocal-remover-frame-transformer at 6ed73e8
    python -m benches.foreign carperbr-b FOLDER         # at 0f77420
    python -m benches.foreign carperbr-c FOLDER         # at 5bc163f

Small networks with synthetic weights; the authors' modules are imported from FOLDER. With version 5 of the vocal
remover, its merging of artifacts is compared too.
"""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rtsep.bundle import build_network
from rtsep.convert.converter import Checkpoint
from rtsep.convert.dispatch import convert
from rtsep.nn.fixed_windows import merge_artifacts
from tests.convert.families import golden

FRAMES = {"vocal-remover-5": 32, "vocal-remover-6": 32, "carperbr-a": 12, "carperbr-b": 12, "carperbr-c": 12}


def foreign_network(system: str) -> Any:
    """A small network of the authors. Libraries that are only needed to read files may be missing."""
    for library in ("librosa", "librosa.display", "soundfile", "cv2", "tqdm"):
        sys.modules.setdefault(library, types.ModuleType(library))
    if system.startswith("vocal-remover"):
        return importlib.import_module("lib.nets").CascadedNet(128, 1024, 4, 8)
    sizes = {"channels": 2, "n_fft": 256, "feedforward_dim": 16, "num_bands": 2, "cropsize": FRAMES[system]}
    options = {"num_encoders": 0 if system == "carperbr-a" else 1, "num_decoders": 2, "bias": True}
    if system == "carperbr-c":
        return importlib.import_module("lib.res_frame_transformer").FrameTransformer(
            **sizes, **options, autoregressive=False
        )
    return importlib.import_module("lib.frame_transformer").FrameTransformer(**sizes, **options)


@torch.inference_mode()
def main(system: str, folder: str) -> int:
    sys.path.insert(0, folder)
    theirs = foreign_network(system).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
    tensors = golden.fill(shapes)
    theirs.load_state_dict(tensors)
    magnitudes = golden.magnitudes(theirs.output_bin, FRAMES[system])
    answer = theirs(magnitudes)[0]
    golden.write(system, shapes, answer)

    conversion = convert(Checkpoint(Path(system), tensors))
    ours = build_network(conversion.recipe).network.eval()  # type: ignore[union-attr]
    ours.load_state_dict(conversion.tensors)
    masks = ours(magnitudes[:, :, : theirs.max_bin])[0].flatten(0, 1)[: len(answer)]
    print(f"{system}: {len(shapes)} tensors, largest difference {(masks - answer).abs().max():.1e}")
    if system == "vocal-remover-5":
        print(f"merging of artifacts: largest difference {merging_difference():.1e}")
    return 0


def merging_difference(rounds: int = 200) -> float:
    """Largest difference between ours and theirs on masks with runs of all lengths, also at both ends."""
    random = np.random.default_rng(1)
    merge = importlib.import_module("lib.spec_utils").merge_artifacts
    worst = 0.0
    for _ in range(rounds):
        mask = np.full((2, 3, 600), 0.01, np.float32)
        for start in random.integers(0, 600, 4):
            mask[:, :, start : start + random.integers(1, 300)] = random.uniform(0.1, 0.9)
        worst = max(worst, float(np.abs(merge(mask.copy()) - merge_artifacts(torch.from_numpy(mask)).numpy()).max()))
    return worst


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
