"""How well a trained two-stem Spleeter separates with windows of several sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benches.networks import STEMS, spleeter_windows
from benches.report import Report, Table
from rtsep.bundle import find_bundle
from rtsep.dsp.song_stft import analyse, synthesise
from rtsep.errors import RtsepError
from rtsep.nn.spleeter import Spleeter
from rtsep.nn.windowed import Windowed
from rtsep.recipe import Stft
from rtsep.timebase import HOP, N_FFT, SAMPLE_RATE
from rtsep.train.data.songs import Song
from rtsep.train.evaluation.evaluate import best_gain, network_masks, sdr_db
from rtsep.train.evaluation.test_songs import load_test_songs
from rtsep.train.evaluation.validation import loudest

EXCERPT_S = 30.0

Float32 = NDArray[np.float32]


def run(weights: str, data: Path, out: Path) -> int:
    """Score the model `weights` on the songs in `data` and write. RtsepError unless it is a two-stem Spleeter."""
    bundle = find_bundle(weights)
    trained = bundle.load_network()
    if not (isinstance(trained, Windowed) and isinstance(trained.network, Spleeter) and trained.stems == STEMS):
        raise RtsepError(f"{weights} is not a Spleeter model with the stems {' and '.join(STEMS)}")
    report = Report("spleeter-windows", "Spleeter by window size", "1")
    found, _ = load_test_songs(bundle.recipe, [data], Path("runs/cache"), lambda done, total: None)
    songs = [_loudest_vocals(song) for song in found]
    rows = [
        {
            "window": window.frames,
            "stride": window.stride,
            "lookahead": window.lookahead,
            "latency ms": 1000 * (N_FFT + window.lookahead_frames * HOP) / SAMPLE_RATE,
            "vocals dB": float(np.mean([_over_gain_db(window, stems) for stems in songs])),
        }
        for window in spleeter_windows(trained.network)
    ]
    note = (
        f"SDR over the best constant gain in the {EXCERPT_S:.0f} s with the loudest vocals, mean of {len(songs)} "
        f"songs; weights {bundle.name}. The cross-fade is 8 frames; the last row is for files. The cost is in the "
        "table above."
    )
    report.add(Table("Two stems", rows, note))
    report.write(out)
    return 0


def _loudest_vocals(song: Song) -> Float32:
    """The stems (S, C, N) where the first of them is loudest."""
    stems = song.segment(0, song.samples)
    return stems[..., loudest(stems[0], round(EXCERPT_S * SAMPLE_RATE), SAMPLE_RATE)]


def _over_gain_db(network: Windowed, stems: Float32) -> float:
    """Of the first of two stems; that of the other is the same, since they sum to the mixture."""
    mixture, reference = stems.sum(axis=0), stems[0]
    stft = Stft(bins=network.bins)
    frames = analyse(mixture, stft.n_fft, stft.hop)
    estimate = synthesise(frames, network_masks(network, frames, 0), mixture.shape[1], stft.n_fft, stft.hop)[0]
    return sdr_db(reference, estimate) - sdr_db(reference, best_gain(mixture, reference) * mixture)
