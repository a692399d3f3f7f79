"""Checkpoints of tsurumeso's vocal remover: `baseline.pth` of version 5, and those of version 6."""

from __future__ import annotations

from typing import Any

import torch

from rtsep.convert.converter import Checkpoint, Conversion
from rtsep.convert.formats.state_dict import fit, rename
from rtsep.errors import RtsepError
from rtsep.nn.cascaded import STEMS, CascadedNet
from rtsep.recipe import Recipe, Stft, Window

WINDOW = Window(frames=256, stride=128, lookahead=64, input_scale="running_max")

RULES = (
    (r"^stg([12])_(low|high)_band_net\.", r"stage\1_\2."),
    (r"^stg3_full_band_net\.", "stage3."),
    (r"^aux_out\.", "auxiliary_out."),
    (r"\.conv\.([01])\.", r".\1."),
    (r"\.enc1\.", ".stem."),
    *((rf"\.enc{n}\.conv{m}\.", f".encoder.{n - 2}.{m - 1}.") for n in (2, 3, 4, 5) for m in (1, 2)),
    *((rf"\.dec{n}\.conv1\.", f".decoder.{4 - n}.") for n in (4, 3, 2, 1)),
    (r"\.aspp\.conv1\.1\.", ".pyramid.mean."),
    (r"\.aspp\.conv2\.", ".pyramid.point."),
    *((rf"\.aspp\.conv{n}\.", f".pyramid.dilated.{n - 3}.") for n in (3, 4, 5)),
    (r"\.aspp\.bottleneck\.", ".pyramid.join."),
    (r"\.lstm_dec2\.conv\.", ".recurrence.squeeze."),
    (r"\.lstm_dec2\.lstm\.", ".recurrence.lstm."),
    (r"\.lstm_dec2\.dense\.", ".recurrence.expand."),
)


def recognises(checkpoint: Checkpoint) -> bool:
    return checkpoint.has_tensor(r"stg1_low_band_net\.")


def convert(checkpoint: Checkpoint, name: str | None) -> Conversion:
    """Convert a state dict; the version follows from the presence of the auxiliary output, sizes from the shapes.

    Raises RtsepError for other versions and shapes.
    """
    tensors = checkpoint.state_dict
    try:
        out, first = tensors["out.weight"], tensors["stg1_high_band_net.enc1.conv.0.weight"]
        lstm = tensors["stg1_low_band_net.0.lstm_dec2.lstm.weight_hh_l0"]
        bins = 2 * tensors["stg3_full_band_net.lstm_dec2.lstm.weight_ih_l0"].shape[1]
    except KeyError as error:
        raise RtsepError(f"{checkpoint} is a vocal remover of an unknown version: it has no {error}") from error
    if first.shape[1] != 2:
        raise RtsepError(
            f"{checkpoint} works on complex spectra ({first.shape[1]} channels), which is not supported: "
            "expected magnitudes (2 channels)"
        )
    version = 5 if "aux_out.weight" in tensors else 6
    net: dict[str, Any] = {"version": version, "width": out.shape[1], "lstm_width": 2 * lstm.shape[1]}
    recipe = Recipe(
        name=f"vocal-remover-v{version}",
        description=f"Vocal remover of tsurumeso, version {version}.",
        network="rtsep.nn.cascaded:CascadedNet",
        stems=STEMS,
        stft=Stft(n_fft=2 * bins, hop=bins, bins=bins),
        net=net,
        window=WINDOW,
    )
    with torch.device("meta"):  # shapes are enough
        network = CascadedNet(bins=bins, **net)
    return Conversion(recipe, fit(rename(tensors, RULES), network, str(checkpoint)), "MIT")
