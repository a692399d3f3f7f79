"""The recipe: one TOML file that both the trainer and the player read. Unknown keys are errors that name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from rtsep.errors import RtsepError
from rtsep.train_settings import Train

STEM_NAMES = ("vocals", "drums", "bass", "other", "instrumental", "piano", "guitar")


class Stft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Short-time Fourier transform: sizes in samples, `bins` of them (from 0 Hz up) seen by the network."""

    sample_rate: int = 44100
    n_fft: int = 4096
    hop: int = 1024
    bins: int = 1024
    channels: int = 2

    def __post_init__(self) -> None:
        if self.hop < 1 or self.n_fft % self.hop or self.n_fft // self.hop < 2:
            raise ValueError(f"n_fft {self.n_fft} must be a multiple of hop {self.hop}, twice or more")
        if not 1 <= self.bins <= self.n_fft // 2:
            raise ValueError(f"bins must lie in 1..{self.n_fft // 2}, got {self.bins}")


class Window(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a network that needs whole windows streams, in frames: the arguments of `rtsep.nn.windowed.Windowed`."""

    frames: int
    stride: int
    lookahead: int = 0
    fade: int = 0
    lead: int = 0
    input_scale: Literal["none", "running_max"] = "none"


class Segments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a network of whole segments of sound hears a song: `overlap` is the share of a segment that its neighbour
    has too."""

    overlap: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must lie in 0..1, and not be 1, got {self.overlap}")


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What belongs to `weights.safetensors` beside the recipe."""

    sha256: str
    licence: str


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A system: its network, stems and transform, how it is trained, and the weights that came of it.

    `network` is "package.module:Class"; `net` holds its keyword arguments beyond stems, channels and bins. `window` is
    for a `WindowNetwork` alone: its author's segmentation, for training and for files that are separated. `live`, where
    it is given, is taken instead for what is played. `segments` is for a `SegmentNetwork` alone, which has no frames.
    """

    name: str
    network: str
    stems: tuple[str, ...]
    description: str = ""
    stft: Stft = Stft()
    net: dict[str, Any] = {}
    window: Window | None = None
    live: Window | None = None
    segments: Segments | None = None
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
        if self.live and not self.window:
            raise ValueError("live settings need a [window] that they stand in for")
        if self.segments and self.window:
            raise ValueError("a network has a [window] of frames or [segments] of sound, not both")


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
    """JSON of all that rebuilds the network, for the header of the weights file. How it streams may be changed."""
    core = {"network": recipe.network, "stems": recipe.stems, "stft": recipe.stft, "net": recipe.net}
    return msgspec.json.encode(core, order="deterministic").decode()
