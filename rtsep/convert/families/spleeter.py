"""Spleeter's configurations and checkpoints: TensorFlow's, and state dicts of the PyTorch port pt-spleeter.

TensorFlow numbers layers in the order in which they are made: convolution after convolution, stem after stem, in the
order of the instruments. Its kernels are (time, frequency, in, out), and (time, frequency, out, in) for transposed
convolutions; with their axes reversed both are PyTorch's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch
from msgspec import Struct
from torch import Tensor

from rtsep.convert.converter import Checkpoint, Conversion
from rtsep.convert.formats.state_dict import Rules, fit, rename
from rtsep.convert.formats.tensorflow import TensorFlowCheckpoint, find_checkpoint
from rtsep.errors import RtsepError
from rtsep.files import read_text
from rtsep.nn.spleeter import Spleeter
from rtsep.recipe import Recipe, Stft, Window
from rtsep.train_settings import Train

STEMS = {"accompaniment": "instrumental"}
"""Instruments whose stems have another name here."""
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
LIVE = Window(frames=128, stride=32, lookahead=32, fade=8)
PORT: Rules = (
    (r"^stems\.accompaniment\.", "stems.instrumental."),
    (r"^stems\.(\w+)\.encoder_layers\.(\d+)\.conv\.", r"networks.\1.down.\2."),
    (r"^stems\.(\w+)\.encoder_layers\.(\d+)\.bn\.", r"networks.\1.down_norms.\2."),
    (r"^stems\.(\w+)\.decoder_layers\.(\d+)\.tconv\.", r"networks.\1.up.\2."),
    (r"^stems\.(\w+)\.decoder_layers\.(\d+)\.bn\.", r"networks.\1.up_norms.\2."),
    (r"^stems\.(\w+)\.up_final\.", r"networks.\1.out."),
)


class Model(Struct, frozen=True):
    """`model` of a configuration; parameters it does not name have the network's defaults."""

    type: Literal["unet.unet", "unet.softmax_unet", "blstm.blstm"] = "unet.unet"
    params: dict[str, str | int | float | list[int]] = {}


class Config(Struct, frozen=True):
    """The keys of Spleeter's JSON that are read: signal, network and training. Its paths are ignored."""

    instrument_list: tuple[str, ...]
    model: Model = Model()
    sample_rate: int = 44100
    frame_length: int = 4096
    frame_step: int = 1024
    n_channels: int = 2
    T: int = 512
    F: int = 1024
    separation_exponent: float = 2
    mask_extension: Literal["zeros", "average"] = "zeros"
    learning_rate: float = 1e-4
    batch_size: int = 4
    train_max_steps: int = 100000
    random_seed: int = 0


def _released() -> dict[str, Config]:
    elu = Model("unet.unet", {"conv_activation": "ELU", "deconv_activation": "ELU"})
    softmax = Model("unet.softmax_unet", elu.params)
    two = Config(("vocals", "accompaniment"), train_max_steps=1000000, random_seed=0)
    four = Config(("vocals", "drums", "bass", "other"), elu, train_max_steps=1500000, random_seed=3)
    five = Config(("vocals", "piano", "drums", "bass", "other"), softmax, train_max_steps=2500000, random_seed=8)
    plain = {f"spleeter-{len(config.instrument_list)}stems": config for config in (two, four, five)}
    wide = {f"{name}-16kHz": msgspec.structs.replace(config, F=1536) for name, config in plain.items()}
    return plain | wide


RELEASED = _released()
"""The published systems by the names of their recipes. The 16 kHz systems have the same weights as the others."""


def read_config(path: Path) -> Config:
    """Read Spleeter's JSON. Raises RtsepError if it is not one of its configurations."""
    try:
        return msgspec.json.decode(read_text(path), type=Config, strict=False)
    except msgspec.DecodeError as error:
        raise RtsepError(f"{path} is not a Spleeter configuration: {error}") from error


def recipe_of(config: Config, name: str) -> Recipe:
    """The recipe of the same system. Raises RtsepError for unknown instruments or parameters."""
    params = dict(config.model.params)
    net: dict[str, object] = {"model": config.model.type.split(".")[1]}
    for theirs, ours in (("conv_n_filters", "filters"), ("lstm_units", "lstm_units")):
        if theirs in params:
            net[ours] = params.pop(theirs)
    for theirs in ("conv_activation", "deconv_activation"):
        if theirs in params:
            word = str(params.pop(theirs))
            net[theirs] = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu"}.get(word, word)
    if params:
        raise RtsepError(f"{name}: unknown Spleeter parameter {next(iter(params))}")
    if config.separation_exponent != 2:
        net["separation_exponent"] = config.separation_exponent
    if config.mask_extension != "zeros":  # which is the authors' default, and in each of their configurations
        net["mask_extension"] = config.mask_extension
    stems = tuple(STEMS.get(instrument, instrument) for instrument in config.instrument_list)
    try:
        return Recipe(
            name=name,
            description=f"Spleeter's networks for {', '.join(config.instrument_list)}.",
            network="rtsep.nn.spleeter:Spleeter",
            stems=stems,
            stft=Stft(
                sample_rate=config.sample_rate,
                n_fft=config.frame_length,
                hop=config.frame_step,
                bins=config.F,
                channels=config.n_channels,
            ),
            net=net,
            # Spleeter pads the song's start with a whole window of zeros: one frame more than overlaps the song.
            window=Window(frames=config.T, stride=config.T, lead=1),
            live=LIVE,
            train=Train(
                seed=config.random_seed,
                steps=config.train_max_steps,
                batch=config.batch_size,
                frames=config.T,
                warmup_frames=0,
                learning_rate=config.learning_rate,
                weight_decay=0.0,
            ),
        )
    except ValueError as error:
        raise RtsepError(f"{name}: {error}") from error


def recognises(checkpoint: Checkpoint) -> bool:
    return bool(checkpoint.path.is_dir() and checkpoint.files("*.index")) or checkpoint.has_tensor(
        r"stems\.\w+\.encoder_layers\.0\.conv\."
    )


def convert(checkpoint: Checkpoint, name: str | None) -> Conversion:
    """Convert the folder of a TensorFlow checkpoint, with its JSON unless it is a published one, or a state dict."""
    released = name if name in RELEASED else None
    if not checkpoint.path.is_dir():
        return convert_state_dict(checkpoint.state_dict, str(checkpoint), name=released)
    configurations = checkpoint.files("*.json")
    config = read_config(configurations[0]) if len(configurations) == 1 else None
    return convert_checkpoint(checkpoint.path, config, None if config else released)


def convert_checkpoint(folder: Path, config: Config | None = None, name: str | None = None) -> Conversion:
    """Convert a folder with TensorFlow's `model.index` and `model.data-…`.

    Without `config` it is a published one, identified by its number of stems. Raises RtsepError if the files are
    damaged or hold another network.
    """
    checkpoint = TensorFlowCheckpoint(find_checkpoint(folder))
    transposed = [re.fullmatch(r"conv2d_transpose(?:_(\d+))?/kernel", key) for key in checkpoint.shapes]
    layers = max((int(match[1] or 0) + 1 for match in transposed if match), default=0)
    source = str(checkpoint.path)
    recipe = _recipe(layers // 6, config, name, source)

    def read(path: str) -> Tensor:
        array = checkpoint.read(path)
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(array, np.float32))

    return _conversion(recipe, lambda network: _read_layers(network, read), source, config is None)


def convert_state_dict(
    tensors: Mapping[str, Tensor], source: str, config: Config | None = None, name: str | None = None
) -> Conversion:
    """Convert a state dict of pt-spleeter, with or without its STFT window; for the rest see `convert_checkpoint`.

    The network gets the activations of Spleeter's configuration, not the port's own (leaky ReLU, no softmax) for four
    and five stems: the port's published weights are Spleeter's.
    """
    stems = {key.split(".")[1] for key in tensors if key.startswith("stems.")}
    recipe = _recipe(len(stems), config, name, source)
    kept = {key: tensor for key, tensor in tensors.items() if key != "win" and not key.endswith("num_batches_tracked")}
    conversion = _conversion(recipe, lambda _: rename(kept, PORT), source, config is None)
    return replace(conversion, notes=(_activations(recipe), *conversion.notes))


def _activations(recipe: Recipe) -> str:
    """What a state dict does not say and the conversion assumes."""
    encoder = recipe.net.get("conv_activation", "leaky_relu")
    decoder = recipe.net.get("deconv_activation", "relu")
    masks = "softmax" if recipe.net["model"] == "softmax_unet" else "sigmoid"
    return (
        f"assumed Spleeter's activations for {len(recipe.stems)} stems: {encoder} in the encoder, {decoder} in the "
        f"decoder, {masks} masks; weights trained with other activations separate badly"
    )


def _recipe(stems: int, config: Config | None, name: str | None, source: str) -> Recipe:
    name = name or f"spleeter-{len(config.instrument_list) if config else stems}stems"
    if config is None:
        config = RELEASED.get(name)
        if config is None or len(config.instrument_list) != stems:
            raise RtsepError(
                f"{source} has {stems} stems, not those of a published Spleeter: put its JSON configuration beside it"
            )
    if config.model.type == "blstm.blstm":
        raise RtsepError(f"{source} is a Spleeter BLSTM, which is not supported (no weights were ever published)")
    return recipe_of(config, name)


def _conversion(
    recipe: Recipe, tensors_for: Callable[[Spleeter], dict[str, Tensor]], source: str, published: bool
) -> Conversion:
    try:
        with torch.device("meta"):  # shapes are enough
            network = Spleeter(stems=recipe.stems, channels=recipe.stft.channels, bins=recipe.stft.bins, **recipe.net)
    except ValueError as error:
        raise RtsepError(f"{recipe.name}: {error}") from error
    tensors = fit(tensors_for(network), network, source)
    return Conversion(recipe, tensors, "MIT" if published else "unknown", (_mask_extension(recipe),))


def _mask_extension(recipe: Recipe) -> str:
    """What differs from the authors' program: they give the stems nothing above the band that the network sees."""
    stft, above = recipe.stft, recipe.net.get("mask_extension", "octave")
    mean = "their top octave" if above == "octave" else "all of the mask"
    end_hz = stft.bins * stft.sample_rate / stft.n_fft
    return (
        f"masks end at {end_hz / 1000:.1f} kHz and continue above by the mean of {mean}; --mask-extension zeros "
        "gives Spleeter's own result"
    )


def _read_layers(network: Spleeter, read: Callable[[str], Tensor]) -> dict[str, Tensor]:
    """Every tensor of the network, found by the numbers that TensorFlow gave its layers."""
    counts: dict[str, int] = {}

    def layer(kind: str) -> str:
        number = counts.get(kind, 0)
        counts[kind] = number + 1
        return f"{kind}_{number}" if number else kind

    tensors: dict[str, Tensor] = {}
    for stem, net in network.networks.items():
        levels = range(len(net.down))  # type: ignore[arg-type]
        for ours, kind, norms in (("down", "conv2d", "down_norms"), ("up", "conv2d_transpose", "up_norms")):
            for i in levels:
                theirs = layer(kind)
                for ending, variable in (("weight", "kernel"), ("bias", "bias")):
                    tensors[f"networks.{stem}.{ours}.{i}.{ending}"] = read(f"{theirs}/{variable}")
                norm = layer("batch_normalization")
                for ending, variable in NORM.items():
                    tensors[f"networks.{stem}.{norms}.{i}.{ending}"] = read(f"{norm}/{variable}")
        theirs = layer("conv2d")
        for ending, variable in (("weight", "kernel"), ("bias", "bias")):
            tensors[f"networks.{stem}.out.{ending}"] = read(f"{theirs}/{variable}")
    return tensors
