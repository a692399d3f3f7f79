"""Sony's D3Net parameter files: one `.h5` file for each stem, as nnabla writes them. Needs the extra `h5`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rtsep.convert.converter import Checkpoint, Conversion
from rtsep.convert.formats.state_dict import fit, rename
from rtsep.errors import RtsepError, one_line
from rtsep.nn.d3net import SIZES, D3Net, Size
from rtsep.recipe import Recipe, Stft, Window

BINS = 1600
TARGETS = ("vocals", "drums", "bass", "other")
LICENCE = "Apache 2.0"
WINDOW = Window(frames=256, stride=128, lookahead=128, fade=128)

LEAVES = (
    (r"/bn/gamma$", ".weight"),
    (r"/bn/beta$", ".bias"),
    (r"/bn/mean$", ".running_mean"),
    (r"/bn/var$", ".running_var"),
    (r"/(?:de)?conv/W$", ".weight"),
    (r"/(?:de)?conv/b$", ".bias"),
)
BLOCKS = (
    (r"/layers/layer(\d+)/bottleneck\b", r"/layer-\1"),
    (r"/initial_layer/bottleneck\b", "/first"),
    (r"/initial_block\b", "/first"),
    (r"/layers/layer(\d+)\b", r"/layer-\1"),
    *((rf"/layer-{n}\b", f"/rest/{n - 1}") for n in range(1, 9)),
    (r"/norm1\b", "/0"),
    (r"/conv1\b", "/2"),
)
ENDS = (
    (r"^features_init/0", "low_in"),
    (r"^features_init/1", "high_in"),
    (r"^features_init_full", "full_in"),
    (r"^dense_band/0/", "low/"),
    (r"^dense_band/1/", "high/"),
    (r"^dense_full/", "full/"),
    (r"^match_fm_conv/1/norm", "widen_high/0"),
    (r"^match_fm_conv/1/conv", "widen_high/1"),
    (r"^final_dense\b", "final"),
    (r"^out_gate/bn", "norm_out"),
    (r"^out_gate/conv_gate/conv", "gate"),
    (r"^out_gate/conv_filt/conv", "filter"),
    (r"^in_offset$", "input_mean"),
    (r"^in_scale$", "input_deviation"),
    (r"^decode_scale$", "output_scale"),
    (r"^decode_bias$", "output_shift"),
    (r"/ds_layers/dense_block(\d+)", r"/down/\1"),
    (r"/bottleneck_block\b", "/bottleneck"),
    (r"/us_layers/upsample(\d+)/upsample/norm", r"/raise_up/\1/0"),
    (r"/us_layers/upsample(\d+)/upsample/transconv", r"/raise_up/\1/1"),
)


def recognises(checkpoint: Checkpoint) -> bool:
    return bool(checkpoint.files("*.h5"))


def convert(checkpoint: Checkpoint, name: str | None) -> Conversion:
    """Convert the parameter file of the vocals, or a folder with the files of all four stems."""
    return convert_parameters([read_parameters(file) for file in checkpoint.files("*.h5")], str(checkpoint))


def require_h5py(wanted: Path | str) -> None:
    """Raises RtsepError, beginning with `wanted`, if the extra `h5` is not installed."""
    try:
        import h5py  # noqa: F401 - only whether it is installed
    except ImportError as error:
        raise RtsepError(f"{wanted}: reading .h5 files needs h5py: pip install 'rtsep[h5]'") from error


def read_parameters(path: Path | str) -> dict[str, Tensor]:
    """Every array of an HDF5 file, by its path in the file. Raises RtsepError if the file is damaged or not HDF5."""
    require_h5py(path)
    import h5py

    tensors: dict[str, Tensor] = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            tensors[name] = torch.from_numpy(np.asarray(item[()], np.float32))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(collect)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise RtsepError(f"{path} is not a readable HDF5 file: {one_line(error)}") from error
    return tensors


def convert_parameters(parts: Sequence[dict[str, Tensor]], source: str) -> Conversion:
    """Convert the parameters of one file or of all four stems' files. Every name begins with its stem.

    Raises RtsepError for other stems and for tensors that do not fit.
    """
    by_target = {}
    for tensors in parts:
        for target in {name.partition("/")[0] for name in tensors}:
            by_target[target] = {
                name.removeprefix(f"{target}/"): tensor
                for name, tensor in tensors.items()
                if name.startswith(f"{target}/")
            }
    if set(by_target) == set(TARGETS):
        name, stems, sizes = "d3net-4stems", TARGETS, TARGETS
    elif set(by_target) == {"vocals"}:
        name, stems, sizes = "d3net-vocals", ("vocals", "instrumental"), ("vocals",)
    else:
        raise RtsepError(
            f"{source} holds D3Net's {', '.join(sorted(by_target))}: expected vocals, or all of {', '.join(TARGETS)}"
        )
    net: dict[str, Any] = {"sizes": list(sizes)}
    renamed = {
        f"networks.{index}.{ours}": tensor
        for index, target in enumerate(sizes)
        for ours, tensor in _rename_target(by_target[target], SIZES[target]).items()
    }
    with torch.device("meta"):  # shapes are enough
        network = D3Net(stems, bins=BINS, **net)
    recipe = Recipe(
        name=name,
        description="D3Net of Sony.",
        network="rtsep.nn.d3net:D3Net",
        stems=stems,
        stft=Stft(bins=BINS),
        net=net,
        window=WINDOW,
    )
    return Conversion(recipe, fit(renamed, network, source), LICENCE)


def _rename_target(tensors: dict[str, Tensor], size: Size) -> dict[str, Tensor]:
    upwards = [
        (rf"^({band}/us_layers)/dense_block{number}\b", f"{band}/up/{number - depth - 1}")
        for band, blocks in (("low", size.low), ("high", size.high), ("full", size.full))
        for depth in [len(blocks.k) // 2]
        for number in range(depth + 1, 2 * depth + 1)
    ]
    shaped = {
        name: tensor[..., :BINS].flatten() if name.startswith(("in_", "decode_")) or "/bn/" in name else tensor
        for name, tensor in tensors.items()
    }
    return rename(shaped, (*LEAVES, *ENDS, *upwards, *BLOCKS, (r"/", ".")))
