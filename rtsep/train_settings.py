"""What a recipe says about training: its material, its steps. Read by the trainer alone; the player only checks it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]

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
    weight: float = 1.0
    """How often crops are drawn from here, against the other sources."""
    holdout: tuple[str, ...] = ()
    """Songs whose name begins with one of these words are kept for evaluation."""
    bandwidth_hz: float | None = None
    """Above it the material is empty, and nothing is learnt from it there."""
    labels: Literal["true", "teacher"] = "true"
    """Who told the stems. Those that another separator told are learnt in their own mixture only: put together with
    other songs, what it left in them would be taught as right."""
    level: Literal["random", "peak"] = "random"
    """Of a crop: drawn at random; or, as the frame transformer was trained, its spectrum divided by the largest
    magnitude of the instrumental song, of the vocals' song and of the crop itself."""
    add_vocals: float | None = None
    """Of the crops, how many get vocals of another song; left out: 0.98 of an instrumental song's, no others."""

    def __post_init__(self) -> None:
        if (self.layout == "spleeter") != (self.table is not None):
            raise ValueError(f"layout {self.layout!r}: table is for layout 'spleeter', which needs it")
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight {self.weight} must not be negative")
        if self.add_vocals is not None and not 0 <= self.add_vocals <= 1:
            raise ValueError(f"add_vocals {self.add_vocals} must lie between 0 and 1")


class Augment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How crops are varied, in this order (rtsep.train.augment). Shares are of crops or of stems; 0 leaves it out."""

    speed_range: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    """Every crop is played up to this share faster or slower, in pitch and tempo."""
    remix_share: Share = 0.5
    """Of the crops, how many are put together from stems of different songs."""
    vocal_blend_share: Share = 0.0
    """Of the crops, how many have another singer blended into the vocals, at any proportion."""
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
    energy_weight: float = 0.0
    """Of the error's energy in the loss, see `rtsep.train.losses.separation_loss`."""
    chunks: tuple[int, ...] = (1,)
    augment: Augment = Augment()

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_frames < self.frames:
            raise ValueError(f"warmup_frames {self.warmup_frames} must be fewer than frames {self.frames}")
