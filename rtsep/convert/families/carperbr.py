"""Checkpoints of carperbr's frame transformer, versions A, B and C, distinguished by their tensor names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rtsep.convert.converter import Checkpoint, Conversion
from rtsep.convert.formats.state_dict import Rules, fit, rename
from rtsep.errors import RtsepError
from rtsep.nn.carperbr import STEMS, CarperbrFrameTransformer
from rtsep.recipe import Recipe, Stft, Window

CONVOLUTIONS = (
    (r"^enc1\.body\.", "encoder.0."),
    *((rf"^enc{n}\.conv{m}\.body\.", f"encoder.{n - 1}.{m - 1}.") for n in (2, 3, 4, 5) for m in (1, 2)),
    *((rf"^dec{n}\.conv\.body\.", f"decoder.{4 - n}.0.") for n in (4, 3, 2, 1)),
)
RESIDUAL_CONVOLUTIONS = (
    (r"\.body\.0\.norm\.", ".body.0."),
    (r"^enc1\.body\.", "encoder.0."),
    *((rf"^enc{n}\.conv{m}\.body\.", f"encoder.{n - 1}.body.{m - 1}.") for n in (2, 3, 4, 5) for m in (1, 2)),
    *((rf"^dec{n}\.conv\.body\.", f"decoder.{4 - n}.body.0.") for n in (4, 3, 2, 1)),
    *((rf"^enc{n}\.identity\.body\.0\.", f"encoder.{n - 1}.identity.") for n in (2, 3, 4, 5)),
    *((rf"^dec{n}\.identity\.body\.0\.", f"decoder.{4 - n}.identity.") for n in (4, 3, 2, 1)),
)
BLOCKS = (
    *((rf"^enc{n}_transformer\.", f"encoder_blocks.{n - 1}.") for n in (1, 2, 3, 4, 5)),
    *((rf"^dec{n}_transformer\.", f"decoder_blocks.{4 - n}.") for n in (4, 3, 2, 1)),
    (r"^out_transformer\.", "decoder_blocks.4."),
    (r"\.in_project\.", ".to_token."),
    (r"\.skip_project\.", ".skip_to_token."),
    (r"\.glu\.0\.", ".gate."),
    (r"\.conv1L\.", ".wide_left."),
    (r"\.conv1R\.", ".wide_right."),
    (r"\.conv1M\.", ".narrow."),
    (r"^(encoder_blocks\..*)\.conv2\.", r"\1.expand."),
    (r"^(encoder_blocks\..*)\.conv3\.", r"\1.contract."),
    (r"^(decoder_blocks\..*)\.conv2\.", r"\1.narrow."),
    (r"^(decoder_blocks\..*)\.conv3\.", r"\1.expand."),
    (r"^(decoder_blocks\..*)\.conv4\.", r"\1.contract."),
    (r"\.attn\.", ".attention."),
    *((rf"\.self_attn{n}\.", f".self_attention.{n - 1}.") for n in (1, 2)),
    *((rf"\.(?:enc|skip)_attn{n}\.", f".skip_attention.{n - 1}.") for n in (1, 2)),
    *((rf"\.{word[0]}_proj\.", f".{word}.linear.") for word in ("key", "value")),
    *((rf"\.{word[0]}_conv\.", f".{word}.between_frames.") for word in ("key", "value")),
    (r"\.q_proj\.", ".query.linear."),
    (r"\.q_conv\.", ".query.between_frames."),
    (r"\.o_proj\.", ".out."),
    (r"\.er$", ".relative"),
)
ENCODER_NORMS = {1: "norms.0", 2: "norms.1", 3: "norm_wide", 4: "norms.2", 5: "norms.3"}
PRE_NORMS = {1: "norms.0", 2: "norms.1", 3: "norm_wide", 4: "norms.2", 5: "norms.3", 6: "norms.4"}
POST_NORMS = {1: "norms.0", 2: "norm_wide", 3: "norms.1", 4: "norms.2", 5: "norms.3", 6: "norms.4"}


def recognises(checkpoint: Checkpoint) -> bool:
    return checkpoint.has_tensor(r"out_transformer\.0\.self_attn1\.")


def rules(version: str) -> Rules:
    norms = POST_NORMS if version == "A" else PRE_NORMS
    return (
        *(RESIDUAL_CONVOLUTIONS if version == "C" else CONVOLUTIONS),
        *BLOCKS,
        *((rf"^(encoder_blocks\..*)\.norm{n}\.", rf"\1.{ours}.") for n, ours in ENCODER_NORMS.items()),
        *((rf"^(decoder_blocks\..*)\.norm{n}\.", rf"\1.{ours}.") for n, ours in norms.items()),
    )


def sizes(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The network's arguments, derived from tensor names and shapes. Raises KeyError if a tensor is missing."""
    left, expand = tensors["out_transformer.0.conv1L.1.weight"], tensors["out_transformer.0.conv3.weight"]
    if any(".identity." in name for name in tensors):
        version = "C"
    else:
        version = "A" if left.shape[0] == 2 * expand.shape[0] else "B"
    table = tensors["out_transformer.0.self_attn1.er"]
    return {
        "version": version,
        "width": tensors["enc1.body.2.weight" if version == "C" else "enc1.body.0.weight"].shape[0],
        "encoders": len({name.split(".")[1] for name in tensors if name.startswith("enc1_transformer.")}),
        "decoders": len({name.split(".")[1] for name in tensors if name.startswith("out_transformer.")}),
        "heads": expand.shape[1] // table.shape[0],
        "feed_forward": expand.shape[0],
        "window": table.shape[1],
        "rel": "transpose",
        "bias": "out_transformer.0.in_project.bias" in tensors,
    }


def convert(checkpoint: Checkpoint, name: str | None) -> Conversion:
    """Convert a state dict. Raises RtsepError if it does not fit any of the three versions."""
    tensors = checkpoint.state_dict
    try:
        net = sizes(tensors)
        bins = tensors["out_transformer.0.norm1.weight"].shape[0]
    except KeyError as error:
        raise RtsepError(f"{checkpoint} is a frame transformer of an unknown version: it has no {error}") from error
    recipe = Recipe(
        name=f"carperbr-{net['version'].lower()}",
        description=f"Frame transformer of carperbr, version {net['version']}.",
        network="rtsep.nn.carperbr:CarperbrFrameTransformer",
        stems=STEMS,
        stft=Stft(n_fft=2 * bins, hop=bins, bins=bins),
        net=net,
        window=Window(frames=net["window"], stride=net["window"], input_scale="running_max"),
    )
    weights = {name: tensor for name, tensor in tensors.items() if name != "mask"}  # C's causal mask is not a weight
    with torch.device("meta"):  # shapes are enough
        network = CarperbrFrameTransformer(bins=bins, **net)
    return Conversion(recipe, fit(rename(weights, rules(net["version"])), network, str(checkpoint)), "MIT")
