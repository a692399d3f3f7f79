"""Other separators on the same audio in the same run, each in its own environment, with one thread.

Only speed is measured: HS-TasNet and HT Demucs run with random weights, which take the same time.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benches import environments
from benches.report import SONG, Report, Row, Table, tail
from rtsep.errors import RtsepError, UsageError
from rtsep.timebase import HOP, SAMPLE_RATE

PEERS = ("hs-tasnet", "demucs", "spleeter")
CHUNKS = (1, 32)


def run(install: tuple[str, ...], seconds: float, model: str | None, out: Path) -> int:
    """Measure rtsep and all installed peers, and write."""
    for name in install:
        if name not in PEERS:
            raise UsageError(f"--install {name}: expected {', '.join(PEERS)}")
        environments.install(name, [name], out)
    report = Report("peers", "Peers", "one per separator")
    sound = soundfile.read(SONG, dtype="float32", frames=round(seconds * SAMPLE_RATE))[0].T
    rows = [_rtsep(model, chunk, sound) for chunk in CHUNKS]
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "sound.wav"
        soundfile.write(wav, sound.T, SAMPLE_RATE, subtype="FLOAT")
        for name in PEERS:
            rows += _peer(name, wav, out, report)
    note = (
        f"The first {sound.shape[1] / SAMPLE_RATE:.1f} s of the bundled song. Times are per step, the amount of audio "
        "processed at a time, without file I/O. x realtime: duration of the audio divided by the sum of all steps. "
        "Speed does not depend on the weights; those of HS-TasNet and HT Demucs are random."
    )
    report.add(Table("Steps", rows, note))
    report.write(out)
    return 0


def _row(name: str, step_samples: int, times_s: list[float], samples: int) -> Row:
    times_ms = 1000 * np.array(times_s)
    speed = samples / SAMPLE_RATE / float(np.sum(times_s))
    return {"separator": name, "step ms": 1000 * step_samples / SAMPLE_RATE} | tail(times_ms) | {"x realtime": speed}


def _rtsep(model: str | None, chunk: int, sound: np.ndarray) -> Row:
    from rtsep.bundle import find_bundle
    from rtsep.separation.backends.choose import load_stepper
    from rtsep.separation.processor import Processor

    bundle = find_bundle(model)
    processor = Processor(load_stepper(bundle, "cpu", chunk))
    step = chunk * HOP
    out = np.empty((len(processor.stems), processor.channels, step), np.float32)
    times_s: list[float] = []
    blocks = [np.ascontiguousarray(sound[:, at : at + step]) for at in range(0, sound.shape[1] - step + 1, step)]
    for block in [*blocks[:3], *blocks]:
        began = time.perf_counter()
        processor.process(block, out)
        times_s.append(time.perf_counter() - began)
    return _row(f"rtsep {bundle.name}, K = {chunk}", step, times_s[min(3, len(blocks)) :], step * len(blocks))


def _peer(name: str, wav: Path, out: Path, report: Report) -> list[Row]:
    try:
        told = environments.answer(name, [str(wav)], out, f"rtsep bench peers --install {name}")
    except RtsepError as error:
        report.problem(str(error))
        return []
    report.versions[name] = told["version"]
    return [_row(row["name"], row["step_samples"], row["times_s"], row["samples"]) for row in told["rows"]]
