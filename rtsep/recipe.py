"""The recipe: one TOML file that both the trainer and the player read. Unknown keys are errors that name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from rtsep.errors import RtsepError

STEM_NAMES = ("vocals", "drums", "bass", "other", "instrumental", "piano")


class Stft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Short-time Fourier transform: sizes in samples, `bins` of them (from 0 Hz up) seen by the network."""

    sample_rate: int = 44100
    n_fft: int = 4096
    hop: int = 1024
    bins: int = 1024
    channels: int = 2

    def __post_init__(self) -> None:
        if self.hop < 1 or self.n_fft % self.hop or self.n_fft // self.hop < 4:
            raise ValueError(f"n_fft {self.n_fft} must be a multiple of hop {self.hop}, four times or more")
        if not 1 <= self.bins <= self.n_fft // 2:
            raise ValueError(f"bins must lie in 1..{self.n_fft // 2}, got {self.bins}")


class DataSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One folder of training material, relative to a `--data` directory.

    `stems`: a folder a song with vocals, drums, bass, other (.ogg, .flac, .wav, ...); `pairs`: NAME.vocals.* beside
    NAME.accompaniment.*. Songs whose name begins with a word of `holdout` are kept for evaluation. Above
    `bandwidth_hz` the material is empty and nothing is learnt from it.
    """

    folder: str
    layout: Literal["stems", "pairs"]
    weight: float = 1.0
    holdout: tuple[str, ...] = ()
    bandwidth_hz: float | None = None


class Train(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the weights are found: sizes in frames, optimiser steps; see rtsep.train."""

    data: tuple[DataSource, ...] = ()
    licence: str = "unknown"
    """Licence of weights that are trained on this data."""
    seed: int = 1
    steps: int = 1000
    batch: int = 4
    frames: int = 224
    warmup_frames: int = 24
    learning_rate: float = 1.2e-3
    warmup_steps: int = 100
    decay_share: float = 0.3
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema: float = 0.998
    remix_share: float = 0.5
    """Of the crops, how many are put together from stems of different songs."""
    speed_range: float = 0.0
    """Crops are played up to this share faster or slower, in pitch and tempo."""
    equalizer_db: float = 0.0
    """Every stem goes through a random equaliser of up to this much."""
    silence_share: float = 0.0
    """Of the crops, how many have one stem silenced for a random span."""
    energy_weight: float = 0.0
    """Of the error's energy in the loss, see `rtsep.train.losses.separation_loss`."""
    chunks: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_frames < self.frames:
            raise ValueError(f"warmup_frames {self.warmup_frames} must be fewer than frames {self.frames}")
        for name in ("remix_share", "speed_range", "silence_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} must lie between 0 and 1")


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What belongs to `weights.safetensors` beside the recipe."""

    sha256: str
    licence: str


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A system: its network, stems and transform, how it is trained, and the weights that came of it.

    `network` is "package.module:Class"; `net` holds its keyword arguments beyond stems, channels and bins.
    """

    name: str
    network: str
    stems: tuple[str, ...]
    description: str = ""
    stft: Stft = Stft()
    net: dict[str, Any] = {}
    train: Train = Train()
    weights: Weights | None = None

    def __post_init__(self) -> None:
        if not self.stems or len(set(self.stems)) != len(self.stems):
            raise ValueError(f"stems must be named once each, got {list(self.stems)}")
        unknown = [stem for stem in self.stems if stem not in STEM_NAMES]
        if unknown:
            raise ValueError(f"unknown stem {unknown[0]!r}; known are {', '.join(STEM_NAMES)}")
        module, colon, attribute = self.network.partition(":")
        if not (module and colon and attribute):
            raise ValueError(f'network must be "package.module:Class", got {self.network!r}')


def load_recipe(path: Path | str) -> Recipe:
    """Read a recipe. Raises RtsepError that names the file and the offending key or value."""
    path = Path(path)
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Recipe)
    except OSError as error:
        raise RtsepError(f"cannot read the recipe {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RtsepError(f"{path}: {error}") from error


def encode_network(recipe: Recipe) -> str:
    """JSON of all that rebuilds the network, for the header of the weights file."""
    core = {"network": recipe.network, "stems": recipe.stems, "stft": recipe.stft, "net": recipe.net}
    return msgspec.json.encode(core, order="deterministic").decode()
