"""Equality with HT Demucs: a package with random weights of the published size, through its authors' driver and ours.

    python -m benches.demucs [SECONDS]    # with the extra `demucs` installed

Their `apply_model` uses their own segmentation, without random shifts; the song is normalised as in their `api`. Exit
code 1 if a stem differs by more than rounding errors.
"""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from benches.report import SONG
from rtsep.bundle import build_segment_network, find_bundle
from rtsep.convert.dispatch import convert_path
from rtsep.convert.write import write_conversion
from rtsep.separation.load import load
from rtsep.timebase import SAMPLE_RATE

LIMIT = 1e-5
"""Limit of the difference, relative to the loudest sample of all stems."""
BLOCK = 32768


def main(seconds: str = "20", threads: str = "2") -> int:
    from demucs.apply import apply_model

    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    song = soundfile.read(SONG, dtype="float32", frames=round(float(seconds) * SAMPLE_RATE))[0].T.copy()
    network = build_segment_network(find_bundle("htdemucs").recipe).eval()
    theirs = network.get_submodule("members.0")
    theirs.half().float()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "random-00000000.th"
        args, kwargs = theirs._init_args_kwargs
        state = {key: tensor.half() for key, tensor in theirs.state_dict().items()}
        torch.save({"klass": type(theirs), "args": args, "kwargs": kwargs, "state": state}, path)
        print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB")
        bundle = write_conversion(convert_path(path), Path(name) / "bundle")
        separator = load(bundle.path)
        began = time.perf_counter()
        separator.learn([song])
        pieces = [separator.feed(song[:, at : at + BLOCK]) for at in range(0, song.shape[1], BLOCK)]
        pieces.append(separator.flush())
        ours_s = time.perf_counter() - began
    found = np.stack([np.concatenate([piece[stem] for piece in pieces], axis=1) for stem in separator.stems])
    began = time.perf_counter()
    wav = torch.from_numpy(song)
    reference = wav.mean(0)
    scaled = (wav - reference.mean()) / (reference.std() + 1e-8)
    stems = apply_model(theirs, scaled[None], shifts=0, split=True, overlap=0.25)[0]  # type: ignore[arg-type]
    expected = (stems * (reference.std() + 1e-8) + reference.mean()).numpy()
    theirs_s = time.perf_counter() - began
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    length_s = song.shape[1] / SAMPLE_RATE
    print(f"demucs {importlib.metadata.version('demucs')}, torch {torch.__version__}, {threads} threads")
    print(f"{length_s:.1f} s: largest difference {difference:.1e} of the loudest sample (at most {LIMIT:g})")
    print(f"its authors {theirs_s:.1f} s, {length_s / theirs_s:.2f} x realtime")
    print(f"rtsep {ours_s:.1f} s, {length_s / ours_s:.2f} x realtime")
    return 0 if difference <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
