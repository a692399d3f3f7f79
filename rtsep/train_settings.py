"""What a recipe says about training: its material, its steps. Read by the trainer alone; the player only checks it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]


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
