"""Other separators on the same sound in the same run, each in an environment of its own, on one thread.

Times only: HS-TasNet and HT Demucs compute with random weights, which takes as long. Nothing of theirs enters rtsep's
environment: the folder OUT/peers/NAME holds theirs, made on request, which borrows packages (torch) from this one.
"""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

import numpy as np
import soundfile

from benches.report import SONG, Report, Row, Table, tail
from rtsep.dsp.grid import HOP, SAMPLE_RATE
from rtsep.errors import RtsepError, UsageError

PACKAGES = {"hs-tasnet": "hs-tasnet", "demucs": "demucs", "spleeter": "spleeter"}
PROGRAMS = Path(__file__).parent / "peer_programs"
LIMIT_S = 1800.0
CHUNKS = (1, 32)


def run(install: tuple[str, ...], seconds: float, model: str | None, out: Path) -> int:
    """Measure rtsep and all peers that are there, and write."""
    for name in install:
        if name not in PACKAGES:
            raise UsageError(f"--install {name}: expected {', '.join(PACKAGES)}")
        _install(name, out)
    report = Report("peers", "Peers", "one for each separator")
    sound = soundfile.read(SONG, dtype="float32", frames=round(seconds * SAMPLE_RATE))[0].T
    rows = [_rtsep(model, chunk, sound) for chunk in CHUNKS]
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "sound.wav"
        soundfile.write(wav, sound.T, SAMPLE_RATE, subtype="FLOAT")
        for name in PACKAGES:
            rows += _peer(name, wav, out, report)
    note = (
        f"The first {sound.shape[1] / SAMPLE_RATE:.1f} s of the bundled song. A step is what is computed at once; its "
        "times are those of a step, without reading or writing files. Times realtime: the sound's duration by the sum "
        "of all steps. Weights do not matter to the time; those of HS-TasNet and HT Demucs are random."
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
    from rtsep.engine.compute import Stepper, choose_compute
    from rtsep.engine.processor import Processor

    bundle = find_bundle(model)
    processor = Processor(Stepper(bundle.load_network(), choose_compute("cpu"), chunk))
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
    python = _python(_home(name, out))
    if not python.exists():
        report.problem(f"{name} is not installed; rtsep bench peers --install {name} does it")
        return []
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
    program = PROGRAMS / f"{name.replace('-', '_')}.py"
    try:
        done = subprocess.run(
            [str(python), "-P", str(program), str(wav)],
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | threads,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
        told = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        report.problem(f"{name} took more than {LIMIT_S:.0f} s: skipped")
        return []
    except (subprocess.CalledProcessError, ValueError, IndexError) as error:
        words = (getattr(error, "stderr", "") or "").strip().splitlines()
        report.problem(f"{name} does not run: {words[-1] if words else error}".replace(str(_home(name, out)), name))
        return []
    report.versions[name] = told["version"]
    return [_row(row["name"], row["step_samples"], row["times_s"], row["samples"]) for row in told["rows"]]


def _home(name: str, out: Path) -> Path:
    return (out / "peers" / name).resolve()


def _python(home: Path) -> Path:
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _install(name: str, out: Path) -> None:
    """Make the environment and let pip fill it; what this environment has, such as torch, is not fetched again."""
    home = _home(name, out)
    venv.create(home, with_pip=True, clear=True)
    own = sysconfig.get_path("purelib", vars={"base": str(home)})
    Path(own, "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    print(f"installing {name} into {home}", file=sys.stderr, flush=True)
    done = subprocess.run([str(_python(home)), "-m", "pip", "install", "-qq", PACKAGES[name]])
    if done.returncode:
        raise RtsepError(f"pip could not install {name}")
