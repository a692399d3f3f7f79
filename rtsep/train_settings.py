"""What a recipe says about training: its material, its steps. Read by the trainer alone; the player only checks it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class DataSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One folder of training material, relative to a `--data` directory.

    `stems`: a folder a song with vocals, drums, bass, other (.ogg, .flac, .wav, ...); `pairs`: NAME.vocals.* beside
    NAME.accompaniment.*; `spleeter`: `folder` is one of Spleeter's CSV files, whose paths start from `--data` too.
    Songs whose name begins with a word of `holdout` are kept for evaluation. Above `bandwidth_hz` the material is empty
    and nothing is learnt from it.
    """

    folder: str
    layout: Literal["stems", "pairs", "spleeter"]
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
    parts: tuple[str, ...] = ()
    """Names of the network's parts that are trained, the others stay as they are; all if none is named."""

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_frames < self.frames:
            raise ValueError(f"warmup_frames {self.warmup_frames} must be fewer than frames {self.frames}")
        for name in ("remix_share", "speed_range", "silence_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} must lie between 0 and 1")
