"""The recipe: one TOML file for the trainer and the player. Unknown keys are errors that name them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from rtsep.errors import RtsepError
from rtsep.files import read_text
from rtsep.train_settings import Train

STEM_NAMES = ("vocals", "drums", "bass", "other", "instrumental", "piano", "guitar")


class Stft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Short-time Fourier transform: sizes in samples; the network's input has the lowest `bins` bins."""

    sample_rate: int = 44100
    n_fft: int = 4096
    hop: int = 1024
    bins: int = 1024
    channels: int = 2

    def __post_init__(self) -> None:
        if self.hop < 1 or self.n_fft % self.hop or self.n_fft // self.hop < 2:
            raise ValueError(f"n_fft {self.n_fft} must be a multiple of hop {self.hop}, at least twice as large")
        if not 1 <= self.bins <= self.n_fft // 2:
            raise ValueError(f"bins must be 1 to {self.n_fft // 2}, got {self.bins}")


class Window(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a network that needs whole windows is streamed, in frames: the arguments of `rtsep.nn.windowed.Windowed`.

    With a `deep_stride` only what is new of each window is computed: those of `rtsep.nn.spleeter_live.LiveSpleeter`.
    """

    frames: int
    stride: int
    lookahead: int = 0
    fade: int = 0
    lead: int = 0
    input_scale: Literal["none", "running_max"] = "none"
    deep_stride: int | None = None

    def __post_init__(self) -> None:
        if self.deep_stride is not None and (self.fade or self.lead or self.input_scale != "none"):
            raise ValueError("deep_stride excludes fade, lead and input_scale")

    @property
    def delay_frames(self) -> int:
        """How late a mask comes."""
        return self.stride + self.lookahead - 1


class Segments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a network of whole segments separates a song: neighbouring segments overlap by the share `overlap`."""

    overlap: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must be at least 0 and below 1, got {self.overlap}")


class Average(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another model whose masks are averaged with this one's: see `rtsep.separation.backends.averaged`.

    Attributes:
        model: its name.
        share: of the other model's masks, above 0 and below 1.
    """

    model: str
    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"average: share must be above 0 and below 1, got {self.share}")


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Checksum and licence of `weights.safetensors` beside the recipe."""

    sha256: str
    licence: str


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A separator: its network, stems and transform, how it is trained, and its trained weights.

    Attributes:
        network: "package.module:Class"; `net` holds its keyword arguments except stems, channels and bins.
        window: for a `WindowNetwork`: its author's segmentation, used for training and for separating files.
        live: replaces `window` for playback; several are a choice of latencies, see `rtsep.live_settings`.
        segments: for a `SegmentNetwork`, which has no frames.
        weights_of: name of the model whose weights this one plays, in place of its own.
        average: with the masks of which other model its own are averaged, in play and in files.
    """

    name: str
    network: str
    stems: tuple[str, ...]
    description: str = ""
    stft: Stft = Stft()
    net: dict[str, Any] = {}
    window: Window | None = None
    live: Window | tuple[Window, ...] | None = None
    segments: Segments | None = None
    train: Train = Train()
    weights: Weights | None = None
    weights_of: str | None = None
    average: Average | None = None

    @property
    def live_windows(self) -> tuple[Window, ...]:
        """The windows that playback can choose from; none for a network of frames."""
        live = self.live or self.window or ()
        return (live,) if isinstance(live, Window) else live

    def __post_init__(self) -> None:
        if not self.stems or len(set(self.stems)) != len(self.stems):
            raise ValueError(f"stems must be one or more different names, got {list(self.stems)}")
        unknown = [stem for stem in self.stems if stem not in STEM_NAMES]
        if unknown:
            raise ValueError(f"unknown stem {unknown[0]!r}: expected some of {', '.join(STEM_NAMES)}")
        module, colon, attribute = self.network.partition(":")
        if not (module and colon and attribute):
            raise ValueError(f'network must be "package.module:Class", got {self.network!r}')
        if self.live and not self.window:
            raise ValueError("[live] replaces [window], which is missing")
        if self.weights and self.weights_of:
            raise ValueError("[weights] and weights_of exclude each other")
        if self.segments and self.window:
            raise ValueError("[window] and [segments] exclude each other")
        if self.segments and self.average:
            raise ValueError("[average] needs masks, and a network with [segments] makes none")


# TOML's escapes make a line break of the path "data\new": in paths a backslash separates folders instead.
_PATH = re.compile(r'(\b(?:folder|table)\s*=\s*)("[^"\n]*")')
_BACKSLASH = re.compile(r"\\\\|\\(?!u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8})")


def load_recipe(path: Path | str) -> Recipe:
    """Read a recipe. Raises RtsepError that names the file and the offending key or value."""
    path = Path(path)
    try:
        text = _PATH.sub(lambda match: match[1] + _BACKSLASH.sub("/", match[2]), read_text(path))
        return msgspec.toml.decode(text, type=Recipe)
    except msgspec.DecodeError as error:
        raise RtsepError(f"{path}: {error}") from error


def encode_network(recipe: Recipe) -> str:
    """JSON of everything that builds the network, for the header of the weights file; streaming settings may change."""
    core = {"network": recipe.network, "stems": recipe.stems, "stft": recipe.stft, "net": recipe.net}
    return msgspec.json.encode(core, order="deterministic").decode()
