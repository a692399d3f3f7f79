"""How fast a model runs on this machine: measured once, and kept in the user's cache.

A player never imports PyTorch, so it lets another process measure: this module run by itself.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import platformdirs
from msgspec import Struct

import rtsep
from rtsep.bundle import Bundle, find_bundle
from rtsep.errors import RtsepError
from rtsep.files import write_atomically
from rtsep.live_settings import choose_live_setting
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.system.child import claim_stdout, read_config, send_message
from rtsep.system.spawn import ChildProcess
from rtsep.timebase import HOP, SAMPLE_RATE

STRIDES = 5
"""Strides of frames that are measured; the quickest one counts, since the machine may be busy with other things."""

LATER_S = 15.0


class MachineSpeed(Struct, frozen=True):
    """What was measured of a model.

    Attributes:
        realtime_factor: compute time over the duration of the sound.
        longest_step_s: time of the longest step.
        tensors_sha256: see `tensors_sha256`.
    """

    realtime_factor: float
    longest_step_s: float
    tensors_sha256: str


def known_speed(bundle: Bundle, compute: str = "auto", latency: str = "standard") -> MachineSpeed | None:
    """`machine_speed` if it was measured before. Raises RtsepError if a recipe cannot be read."""
    return _read_cache().get(_key(bundle, compute, latency))


def measure_later(bundle: Bundle, compute: str = "auto") -> None:
    """Measure a model for files in `LATER_S` seconds, beside what plays, for the next run.

    Nothing is measured if this process ends before.
    """

    def measure_and_keep() -> None:
        time.sleep(LATER_S)
        with suppress(RtsepError):  # which says so when the model is used
            machine_speed(bundle, compute)

    threading.Thread(target=measure_and_keep, name="rtsep-speed", daemon=True).start()


def machine_speed(bundle: Bundle, compute: str = "auto", latency: str = "standard") -> MachineSpeed:
    """The speed of a model with the live setting for `latency`, from the cache or measured now, in another process.

    Raises RtsepError if the model cannot be used.
    """
    key = _key(bundle, compute, latency)
    kept = _read_cache()
    if key not in kept:
        kept[key] = _measured_apart(bundle, compute, latency)
        with suppress(OSError, RtsepError):  # nothing is lost but time
            _cache_file().parent.mkdir(parents=True, exist_ok=True)
            write_atomically(_cache_file(), msgspec.json.encode(kept))
    return kept[key]


def measure(bundle: Bundle, compute: str, latency: str) -> MachineSpeed:
    """Step noise through the model, with one thread. Raises RtsepError if it cannot be used."""
    import numpy as np

    from rtsep.separation.backends.choose import load_stepper

    stepper = load_stepper(bundle, compute, MAX_CHUNK, live=True, latency=latency)
    chunk = min(stepper.stride, MAX_CHUNK)
    noise = np.random.default_rng(0).random((stepper.channels, stepper.bins, chunk), dtype=np.float32)
    for _ in range(stepper.lookahead_frames // chunk + 2):  # to the end of the first window
        stepper.step(noise)
    # On a CPU the time that this process gets: the machine may be busy now, and a worker's priority is higher.
    clock = time.process_time if stepper.compute == "cpu" else time.perf_counter
    strides: list[list[float]] = []
    for _ in range(STRIDES):
        times_s: list[float] = []
        for _ in range(-(-stepper.stride // chunk)):
            began = clock()
            stepper.step(noise)
            times_s.append(clock() - began)
        strides.append(times_s)
    best = min(strides, key=sum)
    duration_s = len(best) * chunk * HOP / SAMPLE_RATE
    return MachineSpeed(sum(best) / duration_s, max(best), tensors_sha256(bundle))


def _measured_apart(bundle: Bundle, compute: str, latency: str) -> MachineSpeed:
    config = {"model": str(bundle.path.resolve()), "compute": compute, "latency": latency}
    process = ChildProcess(__name__, config, {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
    try:
        answer = process.stdout.readline()
        reason = process.wait()
    except BaseException:  # the user has quit meanwhile
        process.kill()
        process.wait()
        raise
    finally:
        process.close()
    with suppress(ValueError):
        return msgspec.json.decode(answer, type=MachineSpeed)
    with suppress(ValueError, KeyError):
        raise RtsepError(json.loads(answer)["error"])
    raise RtsepError(f"{bundle.name} cannot be measured: {reason or 'the process gave no answer'}")


def main() -> None:
    """Measure the model that the configuration on stdin names, and answer with one JSON line."""
    answers = claim_stdout()
    config = read_config()
    try:
        speed = measure(find_bundle(config["model"]), config["compute"], config["latency"])
    except RtsepError as error:
        send_message(answers, {"error": str(error)})
        return
    send_message(answers, msgspec.to_builtins(speed))


def _key(bundle: Bundle, compute: str, latency: str) -> str:
    window = choose_live_setting(bundle.recipe, latency).window
    parts = [
        bundle.sha256,
        "" if window is None else f"{window.frames}/{window.stride}/{window.lookahead}",
        rtsep.__version__,
        importlib.metadata.version("torch"),
        compute,
        processor_name(),
    ]
    return " ".join(parts)


def processor_name() -> str:
    """The processor's model, as well as the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(": ")[2].strip()
    return f"{platform.processor() or platform.machine()} {os.cpu_count()}"


def _cache_file() -> Path:
    return Path(platformdirs.user_cache_dir("rtsep")) / "speeds.json"


def _read_cache() -> dict[str, MachineSpeed]:
    try:
        return msgspec.json.decode(_cache_file().read_bytes(), type=dict[str, MachineSpeed])
    except (OSError, ValueError):  # none yet, or of another version
        return {}


def tensors_sha256(bundle: Bundle) -> str:
    """Of the tensors of a model's weights as they lie in their file, without its header."""
    digest = hashlib.sha256()
    with bundle.weights_path.open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    main()
