"""What a recipe says about training: its material, its steps. Read by the trainer alone; the player only checks it."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import astuple

Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]

Layout = Literal["stems", "stem.mp4", "pairs", "instrumental", "vocals", "npz", "spleeter"]


class DataSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One folder of training material, relative to the `--data` directories; docs/training-data.md tells each layout.

    `stems`: a folder a song with vocals, drums, bass, other, mixture (.wav, .flac, .ogg, ...), as MUSDB18-HQ has them;
    `stem.mp4`: MUSDB18's files of five streams; `pairs`: two parts of a song, told apart by their names or folders;
    `instrumental`: songs without vocals, to which vocals of other songs are added; `vocals`: voices alone, for that;
    `npz`: the frame transformer's crops; `spleeter`: what Spleeter's `table` (CSV or JSON) names.
    """

    folder: str
    layout: Layout
    table: str | None = None
    """Spleeter's CSV or JSON, relative to a `--data` directory."""
    weight: NotNegative = 1.0
    """How often crops are drawn from here, against the other sources."""
    holdout: tuple[str, ...] = ()
    """Songs whose name begins with one of these words are kept for evaluation."""
    bandwidth_hz: Positive | None = None
    """Above it the material is empty, and nothing is learnt from it there."""
    labels: Literal["true", "teacher"] = "true"
    """Who told the stems. Those that another separator told are learnt in their own mixture only: put together with
    other songs, what it left in them would be taught as right."""
    level: Literal["random", "peak"] = "random"
    """Of a crop: drawn at random; or, as the frame transformer was trained, its spectrum divided by the largest
    magnitude of the instrumental song, of the vocals' song and of the crop itself."""
    add_vocals: Share | None = None
    """Of the crops, how many get vocals of another song; left out: 0.98 of an instrumental song's, no others."""

    def __post_init__(self) -> None:
        if (self.layout == "spleeter") != (self.table is not None):
            raise ValueError(f"layout {self.layout!r}: table is for layout 'spleeter', which needs it")


class Augment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How crops are varied, in this order (rtsep.train.crops.augment). Shares are of crops or of stems; 0 leaves it
    out."""

    speed_range: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    """Every crop is played up to this share faster or slower, in pitch and tempo."""
    remix_share: Share = 0.5
    """Of the crops, how many are put together from stems of different songs."""
    vocal_blend_share: Share = 0.0
    """Of the crops, how many have another singer blended into the vocals, at any proportion."""
    double_share: Share = 0.0
    """Of the stems, how many are doubled, left and right apart, and panned."""
    reverb_share: Share = 0.0
    """Of the stems, how many are put into a room."""
    equalizer_db: Annotated[float, Meta(ge=0, le=40)] = 0.0
    """Every stem goes through a random equaliser of up to this much."""
    gain_db: Annotated[float, Meta(ge=0, le=40)] = 4.0
    """Every stem is made up to this much louder or softer."""
    polarity_share: Share = 0.5
    """Of the stems, how many are turned upside down."""
    swap_share: Share = 0.5
    """Of the stems, how many have left and right exchanged."""
    drop_channel_share: Share = 0.0
    """Of the stems, how many lose their left or their right."""
    silence_share: Share = 0.0
    """Of the crops, how many have one stem silenced for a random span."""
    leave_out_share: Share = 0.0
    """Of the crops, how many lose one stem, or all but one: with two stems, the mixture is one of them (identity)."""
    mono_share: Share = 0.0
    """Of the crops, how many are mono."""
    mixup_share: Share = 0.0
    """Of the crops, how many are laid over a second one, stem by stem, the weight drawn from Beta(0.4, 0.4)."""
    codec_share: Share = 0.0
    """Of the crops, how many have been MP3 or Vorbis."""


class Losses(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of the losses that are added up, formulas in `rtsep.train.losses.spectral_losses` and
    `rtsep.train.losses.waveform_losses`.

    What the table does not name is not computed.
    """

    separation: float = 0.0
    """Distance in the complex plane and difference of square-root magnitudes."""
    log_energy: float = 0.0
    """Logarithm of the error's share of the mixture: the signal-to-distortion ratio itself; one less is 10 dB."""
    magnitude: float = 0.0
    compressed: float = 0.0
    complex: float = 0.0
    waveform: float = 0.0
    multi_resolution: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= weight < math.inf for weight in astuple(self)) or not any(astuple(self)):
            raise ValueError("losses must have weights of 0 or more, one of them above 0")


class Train(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the weights are found: sizes in frames, optimiser steps; see rtsep.train."""

    data: tuple[DataSource, ...] = ()
    licence: str = "unknown"
    """Licence of weights that are trained on this data."""
    seed: Annotated[int, Meta(ge=0)] = 1
    steps: Count = 1000
    batch: Count = 4
    """Crops of an optimiser step, over all processes and passes."""
    frames: Count = 224
    warmup_frames: int = 24
    """Frames at the start of a crop in which nothing is judged: there the network has no past yet."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """Muon moves the matrices of linear layers, at twice the rate, and AdamW the rest."""
    learning_rate: Positive = 1.2e-3
    warmup_steps: Annotated[int, Meta(ge=0)] = 100
    """Steps over which the rate rises, in a straight line."""
    decay_share: Share = 0.3
    """Of the steps: over the last of them the rate falls to `final_rate`."""
    weight_decay: NotNegative = 0.01
    clip_norm: Positive = 1.0
    ema: Share = 0.998
    """Of the averaged weights, how much stays at every step."""
    chunks: tuple[int, ...] = (1,)
    """Frames the network takes at once, drawn anew each step; 0 is the whole crop."""
    accumulate: Count = 1
    """Passes in which a process takes its share of the batch: more need less memory and change nothing else."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the network's products and activations; weights, masks and losses are always fp32."""
    decay: Literal["polynomial", "cosine"] = "polynomial"
    decay_power: Positive = 1.0
    """Of the polynomial; 1 is a straight line."""
    final_rate: NotNegative = 0.0
    augment: Augment = Augment()
    losses: Losses = Losses(separation=1.0)
    auditory: bool = False
    """Let every auditory filter count the same in the losses on spectra, rather than every bin."""
    band_weights: tuple[tuple[float, float], ...] = ()
    """Pairs (from_hz, weight), rising: bins from there up to the next pair count so much in the losses on spectra."""
    latencies: tuple[Literal["standard", "medium", "low"], ...] = ("standard",)
    """Modes of synthesis for the losses on waveforms, drawn anew each step."""
    validate_steps: Annotated[int, Meta(ge=0)] = 500
    """The held-out songs are scored after every so many; 0 is never."""
    validate_s: Positive = 30.0
    """How much of each held-out song is scored then, from its beginning."""
    parts: tuple[str, ...] = ()
    """Names of the network's parts that are trained, the others stay as they are; all if none is named."""

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_frames < self.frames:
            raise ValueError(f"warmup_frames {self.warmup_frames} must be fewer than frames {self.frames}")
        if not self.chunks or min(self.chunks) < 0:
            raise ValueError(f"chunks {list(self.chunks)} must be frame counts, or 0 for the whole crop")
        if not self.latencies:
            raise ValueError("latencies must name one mode of synthesis or more")
        if self.final_rate > self.learning_rate:
            raise ValueError(f"final_rate {self.final_rate} must not exceed learning_rate {self.learning_rate}")
        edges_hz = [from_hz for from_hz, _ in self.band_weights]
        if edges_hz != sorted(set(edges_hz)) or any(not 0 < weight < math.inf for _, weight in self.band_weights):
            raise ValueError("band_weights must be pairs of Hz, rising, and a weight above 0")
