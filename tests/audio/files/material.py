"""Sounds and files of many kinds for tests of reading them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.files.reader import AudioReader

FORMATS = {
    "wav": {"subtype": "PCM_24"},
    "flac": {"subtype": "PCM_16"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"format": "MP3"},
    "aiff": {"subtype": "PCM_16"},
    "caf": {"subtype": "FLOAT"},
}


def music(seconds: float, rate: int, channels: int = 2) -> np.ndarray:
    """(n, channels): tones, noise and clicks, so that lossy coders change their block size."""
    rng = np.random.default_rng(0)
    n = int(seconds * rate)
    out = 0.1 * np.sin(2 * np.pi * 220 * np.arange(n) / rate)[:, None] + 0.03 * rng.standard_normal((n, channels))
    out[rng.integers(0, n, n // 5000)] = 0.8
    return out.astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int, **how: str) -> Path:
    # In pieces: libsndfile's Vorbis encoder overflows its stack on a minute at once.
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], **how) as file:
        for at in range(0, len(samples), rate):
            file.write(samples[at : at + rate])
    return path


def write_av(
    path: Path, samples: np.ndarray, codec: str, rate: int = 44100, format: str = "", options: str = "", how: str = ""
) -> Path:
    """A file by FFmpeg's encoders; `options` of the codec and `how` of the container are "key=value key=value"."""
    av = pytest.importorskip("av", reason="PyAV (extra aac) is not installed")
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(str(path), "w", format=format or None, options=_pairs(how)) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout, options=_pairs(options))
        if codec != "libmp3lame":
            stream.bit_rate = 128000
        sample_format = stream.codec.audio_formats[0].name
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        size = stream.codec_context.frame_size or {"mp2": 1152, "libmp3lame": 1152, "libopus": 960}.get(codec, 1024)
        cut = av.AudioResampler(format=sample_format, layout=layout, rate=rate, frame_size=size)
        for piece in cut.resample(frame) + cut.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())


def write_aac(path: Path, samples: np.ndarray, rate: int) -> Path:
    # Without noise substitution, whose noise depends on where a decoder began.
    return write_av(path, samples, "aac", rate, options="aac_pns=0")


def write_mp3_without_header(path: Path, samples: np.ndarray) -> Path:
    """Of variable bit rate; nothing in it states its length."""
    return write_av(
        path,
        samples,
        "libmp3lame",
        options="global_quality=236 flags=+qscale",
        how="write_xing=0 id3v2_version=0",
    )


def read_all(reader: AudioReader, block: int = 10_007) -> np.ndarray:
    pieces = [np.zeros((2, 0), np.float32)]
    while (piece := reader.read(block)).shape[1]:
        pieces.append(piece)
    return np.concatenate(pieces, axis=1)


def patched_flac(path: Path, folder: Path, change: Callable[[int], int]) -> Path:
    """A copy whose STREAMINFO tells another number of samples."""
    raw = bytearray(path.read_bytes())
    word = int.from_bytes(raw[18:26], "big")
    total = word & (2**36 - 1)
    raw[18:26] = (word - total + change(total)).to_bytes(8, "big")
    out = folder / "patched.flac"
    out.write_bytes(raw)
    return out
