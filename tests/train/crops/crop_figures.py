"""Statistics of many crops, and the songs that they are drawn from: what `crop_statistics.json` holds.

The file was recorded from 4000 crops of the sampler that came before, which made each crop by itself, with NumPy and
with soxr ("MQ") for changes of speed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtsep.recipe import Recipe
from rtsep.train.crops.sampler import CropSampler
from rtsep.train.data.songs import Song
from rtsep.train.data.store import INT16_PER_UNIT
from rtsep.train_settings import DataSource
from tests.train.sounds import make_recipe

SONGS = DataSource(folder="songs", layout="stems", weight=3.0)
NARROW = DataSource(folder="narrow", layout="stems", bandwidth_hz=8000)
BACKING = DataSource(folder="backing", layout="instrumental")
VOICES = DataSource(folder="voices", layout="vocals", weight=0.5)
BANDS = 8
"""Octaves, down from 22 050 Hz."""
SILENT = 1e-7


def recipe() -> Recipe:
    """Every augmentation but lossy coding, which stays outside PyTorch."""
    augmentations = {
        "speed_range": 0.15, "remix_share": 0.4, "vocal_blend_share": 0.2, "double_share": 0.3, "reverb_share": 0.05,
        "equalizer_db": 6.0, "drop_channel_share": 0.1, "silence_share": 0.3, "leave_out_share": 0.1,
        "mono_share": 0.1, "mixup_share": 0.2,
    }  # fmt: skip
    return make_recipe(SONGS, NARROW, BACKING, VOICES, batch=50, **augmentations)


def songs() -> list[Song]:
    """Noises of different colours and panning that swell and pause."""
    random = np.random.default_rng(11)

    def sound(tilt_db: float, level: float, pan: float) -> np.ndarray:
        samples = 60_000
        spectrum = np.fft.rfft(random.standard_normal((2, samples)))
        octaves = np.log2(np.maximum(np.fft.rfftfreq(samples, 1 / 44100), 40) / 40)
        shaped = np.fft.irfft(spectrum * 10 ** (tilt_db * octaves / 20), samples)
        shaped *= np.abs(np.sin(2 * np.pi * np.arange(samples) / 41_000)) ** 2 * level / shaped.std()
        return np.array([1 + pan, 1 - pan])[:, None] * shaped

    def song(source: DataSource, kind: str, vocals: float, rest: float) -> Song:
        stems = [sound(-3, vocals, 0.0), sound(-6, rest, 0.3)]
        audio = np.rint(np.stack(stems) * INT16_PER_UNIT).clip(-32768, 32767).astype(np.int16)
        return Song(source.folder, audio, source, kind=kind)  # type: ignore[arg-type]

    return [
        song(SONGS, "song", 0.05, 0.1), song(SONGS, "song", 0.1, 0.05), song(NARROW, "song", 0.03, 0.03),
        song(BACKING, "instrumental", 0.0, 0.1), song(VOICES, "vocals", 0.1, 0.0),
    ]  # fmt: skip


def measure(count: int) -> dict[str, Any]:
    """Mean and standard deviation of each figure over `count` crops: levels in dB, shares, band levels in dB."""
    sampler = CropSampler(recipe(), songs(), 3)
    steps = count // sampler.recipe.train.batch
    found: dict[str, list[np.ndarray]] = {}

    def note(name: str, values: np.ndarray) -> None:
        found.setdefault(name, []).append(np.asarray(values, np.float64).reshape(-1))

    for step in range(steps):
        batch = sampler.batch(step)
        stems = batch.stems.numpy()
        note("top_bin", batch.top_bin.numpy())
        for name, x in (("vocals", stems[:, 0]), ("instrumental", stems[:, 1]), ("mixture", stems.sum(axis=1))):
            power = np.square(x).mean(axis=2, dtype=np.float64)
            sounds = power.sum(axis=1) > SILENT**2
            note(f"{name} sounds", sounds)
            x, power = x[sounds], power[sounds]
            note(f"{name} level_db", 10 * np.log10(power.mean(axis=1)))
            note(f"{name} crest_db", 20 * np.log10(np.abs(x).max(axis=(1, 2))) - 10 * np.log10(power.mean(axis=1)))
            both = power.min(axis=1) > SILENT**2
            note(f"{name} has both channels", both)
            note(f"{name} balance_db", 10 * np.log10(power[both, 0] / power[both, 1]))
            note(f"{name} correlation", (x[both, 0] * x[both, 1]).mean(axis=1) / np.sqrt(power[both].prod(axis=1)))
            spectrum = np.square(np.abs(np.fft.rfft(x * np.hanning(x.shape[2]).astype(np.float32)))).sum(axis=1)
            edges = spectrum.shape[1] // 2 ** np.arange(BANDS)
            bands = [spectrum[:, last // 2 : last].sum(axis=1) for last in edges]
            for octave, band in enumerate(bands):
                note(f"{name} octave {octave} db", 10 * np.log10(band / spectrum.sum(axis=1)))
    joined = {name: np.concatenate(values) for name, values in found.items()}
    return {name: {"mean": float(x.mean()), "deviation": float(x.std()), "count": len(x)} for name, x in joined.items()}
