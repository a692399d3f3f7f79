"""The training settings of a recipe. The trainer uses them; the player only validates them."""

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
    """One folder of training data, relative to the `--data` directories; docs/training-data.md describes the layouts.

    `stems`: a folder per song with vocals, drums, bass, other, mixture (.wav, .flac, .ogg, ...), as in MUSDB18-HQ;
    `stem.mp4`: MUSDB18's files with five streams; `pairs`: two files per song, distinguished by name or folder;
    `instrumental`: songs without vocals, to which vocals of other songs are added; `vocals`: vocals alone, for that;
    `npz`: crops of carperbr's frame transformer; `spleeter`: the files that Spleeter's `table` (CSV or JSON) lists.
    """

    folder: str
    layout: Layout
    table: str | None = None
    """Spleeter's CSV or JSON, relative to a `--data` directory."""
    weight: NotNegative = 1.0
    """How often crops are drawn from this source, relative to the others."""
    holdout: tuple[str, ...] = ()
    """Songs with these names, or these names followed by `_...`, are kept for evaluation."""
    bandwidth_hz: Positive | None = None
    """Upper limit of narrow-band recordings; nothing above it counts in the losses."""
    labels: Literal["true", "teacher"] = "true"
    """Who made the stems. Those of another separator (teacher) are learnt in their own mixture alone: in remixes the
    teacher's errors would be taught as correct."""
    level: Literal["random", "peak"] = "random"
    """Level of a crop: random, or, as carperbr's frame transformer was trained, its spectrum divided by the largest
    magnitude of the instrumental song, of the vocals' song and of the crop itself."""
    add_vocals: Share | None = None
    """Share of crops that get vocals of another song; default: 0.98 for instrumentals, 0 for others."""

    def __post_init__(self) -> None:
        if (self.layout == "spleeter") != (self.table is not None):
            raise ValueError(f"layout {self.layout!r}: table is for layout 'spleeter', which needs it")


class Augment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Augmentation of crops, in this order (see `rtsep.train.crops.augment`). Shares are of crops or of stems."""

    speed_range: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    """Largest change of speed (tempo and pitch) of a crop; 0.1 is +-10 %."""
    remix_share: Share = 0.5
    """Share of crops mixed from stems of different songs."""
    vocal_blend_share: Share = 0.0
    """Share of crops with a second singer blended into the vocals."""
    double_share: Share = 0.0
    """Share of stems that are doubled, differently in left and right, and panned."""
    reverb_share: Share = 0.0
    """Share of stems with reverberation."""
    equalizer_db: Annotated[float, Meta(ge=0, le=40)] = 0.0
    """Largest gain of a random equaliser on every stem."""
    gain_db: Annotated[float, Meta(ge=0, le=40)] = 4.0
    """Largest change of level of every stem."""
    polarity_share: Share = 0.5
    """Share of stems with inverted polarity."""
    swap_share: Share = 0.5
    """Share of stems with left and right swapped."""
    drop_channel_share: Share = 0.0
    """Share of stems with left or right silenced."""
    silence_share: Share = 0.0
    """Share of crops with one stem silenced for a random span."""
    leave_out_share: Share = 0.0
    """Share of crops with one stem silenced, or all but one: with two stems, the mixture then is a single stem."""
    mono_share: Share = 0.0
    """Share of crops made mono."""
    mixup_share: Share = 0.0
    """Share of crops mixed with a second one, stem by stem, with a weight from Beta(0.4, 0.4)."""
    codec_share: Share = 0.0
    """Share of crops coded as MP3 or Vorbis."""


class Losses(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of the losses; formulas in `rtsep.train.losses.spectral_losses` and `rtsep.train.losses.waveform_losses`.

    Losses that the table does not name are not computed.
    """

    separation: float = 0.0
    """Distance in the complex plane plus difference of square-root magnitudes."""
    log_energy: float = 0.0
    """log10 of the error's energy relative to the mixture's: a decrease by 1 is 10 dB of signal-to-distortion ratio."""
    magnitude: float = 0.0
    compressed: float = 0.0
    complex: float = 0.0
    waveform: float = 0.0
    multi_resolution: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= weight < math.inf for weight in astuple(self)) or not any(astuple(self)):
            raise ValueError("losses must have weights of 0 or more, one of them above 0")


class Train(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the model is trained: sizes in frames, optimiser steps; see docs/training.md."""

    data: tuple[DataSource, ...] = ()
    licence: str = "unknown"
    """Licence of the trained weights."""
    seed: Annotated[int, Meta(ge=0)] = 1
    steps: Count = 1000
    batch: Count = 4
    """Crops per optimiser step, over all processes and passes."""
    frames: Count = 224
    warmup_frames: int = 24
    """Frames at the start of a crop that do not count in the losses: the network has no past there."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """Muon trains the matrices of linear layers, at twice the learning rate, and AdamW the rest."""
    learning_rate: Positive = 1.2e-3
    warmup_steps: Annotated[int, Meta(ge=0)] = 100
    """Steps over which the learning rate rises linearly."""
    decay_share: Share = 0.3
    """Share of the steps, the last ones, over which the learning rate falls to `final_rate`."""
    weight_decay: NotNegative = 0.01
    clip_norm: Positive = 1.0
    ema: Share = 0.998
    """Decay of the moving average of the weights."""
    chunks: tuple[int, ...] = (1,)
    """Chunk sizes in frames, drawn at random in each step; 0 is the whole crop."""
    accumulate: Count = 1
    """Passes over a process's share of the batch: more passes need less memory and give the same result."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the network's products and activations; weights, masks and losses are always fp32."""
    decay: Literal["polynomial", "cosine"] = "polynomial"
    decay_power: Positive = 1.0
    """Exponent of the polynomial decay; 1 is linear."""
    final_rate: NotNegative = 0.0
    augment: Augment = Augment()
    losses: Losses = Losses(separation=1.0)
    auditory: bool = False
    """Weight bins so that every auditory filter counts the same in the losses on spectra."""
    band_weights: tuple[tuple[float, float], ...] = ()
    """Pairs (from_hz, weight), ascending: weight of the bins up to the next pair in the losses on spectra."""
    latencies: tuple[Literal["standard", "medium", "low"], ...] = ("standard",)
    """Synthesis modes for the losses on waveforms, drawn at random in each step."""
    validate_steps: Annotated[int, Meta(ge=0)] = 500
    """Steps between validations on the held-out songs; 0: no validation."""
    validate_s: Positive = 30.0
    """Seconds of each held-out song that are scored, from its start."""
    parts: tuple[str, ...] = ()
    """Names of the network's modules to train, the others stay frozen; empty: all."""

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_frames < self.frames:
            raise ValueError(f"warmup_frames {self.warmup_frames} must be fewer than frames {self.frames}")
        if not self.chunks or min(self.chunks) < 0:
            raise ValueError(f"chunks {list(self.chunks)} must be frame counts, or 0 for the whole crop")
        if not self.latencies:
            raise ValueError("latencies must name at least one synthesis mode")
        if self.final_rate > self.learning_rate:
            raise ValueError(f"final_rate {self.final_rate} must not exceed learning_rate {self.learning_rate}")
        edges_hz = [from_hz for from_hz, _ in self.band_weights]
        if edges_hz != sorted(set(edges_hz)) or any(not 0 < weight < math.inf for _, weight in self.band_weights):
            raise ValueError("band_weights must be pairs (Hz, weight) with ascending Hz and weights above 0")
