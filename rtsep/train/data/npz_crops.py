"""Crops of carperbr's frame transformer: `.npz` files with complex spectra, transformed back to waveforms.

`X` is the spectrum (2, bins, frames) of a mixture if there is `Y`, its instrumental; otherwise of an instrumental, or
of vocals if the file or its folder says so. `c` is the largest magnitude of the song that the crop was cut from. The
folder's name holds the STFT settings: `cs2048_sr44100_hl1024_nf2048_of0` is 44 100 Hz with a hop of 1024.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.resample import StreamResampler
from rtsep.dsp.windows import hann_periodic
from rtsep.timebase import SAMPLE_RATE
from rtsep.train.data.stem_plan import UnusableSong

VOCALS_FOLDER = "_VOCALS"

# What NumPy raises for files that are damaged or not .npz.
UNREADABLE = (OSError, ValueError, TypeError, AttributeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@contextmanager
def _arrays(path: Path) -> Iterator[Any]:
    """The arrays of the file by name, each read on access. Raises UnusableSong if the file cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except UNREADABLE as error:
        raise UnusableSong(f"cannot be read: {error}") from error


def stem_arrays(path: Path) -> dict[str, str]:
    """The array of each stem or mixture, by canonical name. Raises UnusableSong if the file is not such a crop."""
    with _arrays(path) as arrays:
        names = set(arrays.files)
        if "X" not in names:
            raise UnusableSong(f"no spectrum X: it holds {', '.join(sorted(names)) or 'nothing'}")
        if "Y" in names:
            return {"mixture": "X", "instrumental": "Y"}
        vocals = path.parent.name.endswith(VOCALS_FOLDER) or ("vocals" in names and bool(np.all(arrays["vocals"])))
        return {"vocals" if vocals else "instrumental": "X"}


class CropReader:
    """One spectrum of a crop as a stream of samples (2, n) at 44.1 kHz.

    Only samples that all overlapping frames cover: n_fft - hop fewer at either end than the frames touch. `peak` is
    the song's largest magnitude divided by n_fft / 2.
    """

    def __init__(self, path: Path, array: str) -> None:
        settings = dict(re.findall(r"(sr|hl)(\d+)", path.parent.name))
        with _arrays(path) as arrays:
            spectrum, largest = arrays[array], float(np.max(arrays["c"])) if "c" in arrays.files else 0.0
        if spectrum.ndim != 3 or spectrum.dtype.kind != "c" or spectrum.shape[0] not in (1, 2):
            raise UnusableSong(f"{array} is {spectrum.dtype} {spectrum.shape}, expected complex (2, bins, frames)")
        n_fft = 2 * (spectrum.shape[1] - 1)
        hop, sample_rate = int(settings.get("hl", n_fft // 2)), int(settings.get("sr", SAMPLE_RATE))
        if hop < 1 or sample_rate < 1 or n_fft % hop or n_fft // hop < 2:
            raise UnusableSong(
                f"{spectrum.shape[1]} bins do not fit a hop of {hop} samples: n_fft must be a multiple of it"
            )
        if not (np.isfinite(spectrum).all() and np.isfinite(largest)):
            raise UnusableSong(f"{array} holds NaN or infinity")
        self.peak = largest / (n_fft / 2)
        self.notes = ()
        resampler = StreamResampler(sample_rate, SAMPLE_RATE, 2)
        wave = inverse(spectrum, hop)
        wave = np.repeat(wave, 2, axis=0) if len(wave) == 1 else wave
        self._wave = np.concatenate([resampler.push(wave), resampler.flush()], axis=1)

    def read(self, max_samples: int) -> NDArray[np.float32]:
        block, self._wave = self._wave[:, :max_samples], self._wave[:, max_samples:]
        return block

    def close(self) -> None:
        """Nothing is open."""


def inverse(spectrum: NDArray[np.complexfloating], hop: int) -> NDArray[np.float32]:
    """Inverse STFT with a periodic Hann window: (C, bins, T) -> (C, N), of fully overlapped samples alone."""
    n_fft = 2 * (spectrum.shape[1] - 1)
    overlap = n_fft // hop
    window = hann_periodic(n_fft)
    frames = np.fft.irfft(spectrum.transpose(0, 2, 1), n_fft) * window
    parts = frames.astype(np.float32).reshape(*frames.shape[:2], overlap, hop)
    kept = max(0, frames.shape[1] - overlap + 1)
    # hop h of the waveform overlaps part r of frame h - r
    summed = np.zeros((len(parts), kept, hop), np.float32)
    for r in range(overlap):
        summed += parts[:, overlap - 1 - r : overlap - 1 - r + kept, r]
    weight = np.square(window).reshape(overlap, hop).sum(axis=0)
    return (summed / weight).reshape(spectrum.shape[0], kept * hop)
