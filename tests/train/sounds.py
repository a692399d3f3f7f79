"""Small sounds, files and recipes for tests of training material."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from rtsep.recipe import Recipe
from rtsep.train.data.data_report import DataReport
from rtsep.train.data.songs import Song, load_songs
from rtsep.train_settings import Augment, DataSource, Train

RATE = 44100
TWO = ("vocals", "instrumental")
FOUR = ("vocals", "drums", "bass", "other")


def noise(seed: int, samples: int = 30011, gain: float = 0.1) -> np.ndarray:
    """(2, samples)."""
    return (gain * np.random.default_rng(seed).standard_normal((2, samples))).astype(np.float32)


def tone(hz: float, samples: int = 30011, gain: float = 0.2) -> np.ndarray:
    """(2, samples)."""
    return np.tile((gain * np.sin(2 * np.pi * hz * np.arange(samples) / RATE)).astype(np.float32), (2, 1))


def write(path: Path, sound: np.ndarray, rate: int = RATE) -> Path:
    """(2, samples) as a WAV of 32-bit floats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound.T, rate, subtype="FLOAT")
    return path


def write_song(folder: Path, **parts: np.ndarray) -> None:
    for part, sound in parts.items():
        write(folder / f"{part}.wav", sound)


def write_stem_mp4(path: Path, sounds: list[np.ndarray]) -> None:
    """Each of (2, samples) as a stream of AAC."""
    av = pytest.importorskip("av", reason="PyAV (extra aac) is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        streams = [container.add_stream("aac", rate=RATE, layout="stereo") for _ in sounds]
        for stream in streams:
            stream.bit_rate = 192000
        for stream, sound in zip(streams, sounds, strict=True):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, 0
            cut = av.AudioResampler(format="fltp", layout="stereo", rate=RATE, frame_size=1024)
            for piece in cut.resample(frame) + cut.resample(None):
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))


def spectrum(sound: np.ndarray, n_fft: int = 2048, hop: int = 1024) -> np.ndarray:
    """(2, samples) -> (2, bins, frames), centred as librosa does it."""
    padded = np.pad(sound, ((0, 0), (n_fft // 2, n_fft // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=1)[:, ::hop]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    return np.fft.rfft(frames * window).transpose(0, 2, 1).astype(np.complex64)


def make_recipe(*sources: DataSource, stems: tuple[str, ...] = TWO, **train: Any) -> Recipe:
    """Crops of 8192 samples, two a step. `train`: keys of [train] and of [train.augment]."""
    augment = Augment(**{name: train.pop(name) for name in Augment.__struct_fields__ if name in train})
    settings = Train(data=sources, augment=augment, **{"frames": 5, "warmup_frames": 0, "batch": 2, "seed": 5} | train)
    return Recipe(name="test", network="rtsep.nn.constant:ConstantMask", stems=stems, train=settings)


def load(recipe: Recipe, root: Path, held_out: bool = False, **options: Any) -> tuple[dict[str, Song], DataReport]:
    """The songs by name. Decoded into a folder beside `root`."""
    songs, report = load_songs(recipe, [root], root.with_name("cache"), held_out, **options)
    return {song.name: song for song in songs}, report


def stems_of(song: Song) -> np.ndarray:
    return song.segment(0, song.samples)
