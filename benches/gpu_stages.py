"""The stages of `python -m benches.gpu_run`. Each returns what it found, as it goes into JSON."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from msgspec.structs import replace

from rtsep.bundle import Bundle, build_network, find_bundle
from rtsep.live_settings import live_settings
from rtsep.recipe import Recipe, Window, load_recipe
from rtsep.separation.backends.choose import load_stepper, stepper_to_measure
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from rtsep.separation.backends.stepper import FrameStepper, warm_up
from rtsep.timebase import HOP, SAMPLE_RATE
from rtsep.train.crops.loader import CropLoader
from rtsep.train.crops.sampler import CropSampler, shortest_song
from rtsep.train.data.songs import load_songs
from rtsep.train.run.trainer import Trainer

REPOSITORY = Path(__file__).resolve().parent.parent
MODEL, SPLEETER = "frame-transformer-2stems", "spleeter-live-2stems"
SONG = REPOSITORY / "demo" / "paper-boats" / "mixture.flac"
HOP_S = HOP / SAMPLE_RATE
PAUSE_S, RUN_S = 5.0, 4.0
"""Paced steps come for RUN_S, then pause."""
KEEP_AWAKE_S = 0.004
"""Between two steps that keep an idle card's clock up."""
BACK_TO_BACK = 5000
LONGEST_S = 8.0
"""For one series of steps back to back, or for the network alone."""
CHECKPOINT_S = 60.0
TRIAL_STEPS, DATA_BATCHES = 12, 10
TAIL = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


def tail_ms(times_s: list[float]) -> dict[str, float]:
    """p50 to the largest, in milliseconds, and how many."""
    found = np.percentile(np.asarray(times_s) * 1000, list(TAIL.values()))
    return {f"{name}_ms": round(float(value), 4) for name, value in zip(TAIL, found, strict=True)} | {"n": len(times_s)}


# -- 1: tests ---------------------------------------------------------------------------------------------------------


def run_tests(limit_s: float) -> dict[str, Any]:
    """The tests marked cuda; without a card all of them are skipped. Only their modules are imported."""
    modules = [str(path) for path in REPOSITORY.glob("tests/**/test_*.py") if "mark.cuda" in path.read_text("utf-8")]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", *modules]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=limit_s)
    print(done.stdout[-4000:], done.stderr[-2000:])
    summary = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    return {"summary": summary} | ({} if done.returncode == 0 else {"error": f"pytest ended with {done.returncode}"})


# -- 2 and 4: steps ---------------------------------------------------------------------------------------------------


def paced(step: Callable[[], object], seconds: float, idle: Callable[[], object] | None = None) -> dict[str, Any]:
    """Times of steps that are due every hop, in runs between pauses. `idle` is called all the while between them."""
    times: list[float] = []
    after_pause: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        due = time.perf_counter() + (PAUSE_S if times else 0.0)
        for hop in range(round(RUN_S / HOP_S)):
            while (left := due - time.perf_counter()) > 0:
                if idle is not None and left > KEEP_AWAKE_S:
                    idle()
                time.sleep(max(0.0, min(left, KEEP_AWAKE_S) if idle is not None else left))
            began = time.perf_counter()
            step()
            (times if hop else after_pause).append(time.perf_counter() - began)
            due += HOP_S
    return tail_ms(times) | {"first_after_a_pause_ms": [round(1000 * first, 3) for first in after_pause]}


def back_to_back(step: Callable[[], object]) -> dict[str, Any]:
    """Times of steps without a pause."""
    times: list[float] = []
    end = time.perf_counter() + LONGEST_S
    while len(times) < BACK_TO_BACK and time.perf_counter() < end:
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return tail_ms(times)


def step_of(stepper: FrameStepper) -> Callable[[], object]:
    """A step of one frame, copies to and from the device included."""
    warm_up(stepper, [1])
    frame = np.random.default_rng(0).random((stepper.channels, stepper.bins, 1), dtype=np.float32)
    return lambda: stepper.step(frame)


def measure_steps(compute: str, paced_s: float) -> dict[str, Any]:
    """Steps of the default network at one frame each."""
    stepper = load_stepper(find_bundle(MODEL), compute, 1)
    step, keep_awake = step_of(stepper), step_of(stepper.new_stream())
    return {
        "backend": f"{stepper.compute} {stepper.way}",
        "paced": paced(step, paced_s),
        "paced, kept awake": paced(step, paced_s, keep_awake),
        "back to back": back_to_back(step),
    }


def measure_spleeter(compute: str) -> dict[str, Any]:
    """Steps of Spleeter live: at its shortest delay, and in windows of 64 frames, one for every frame."""
    bundle = find_bundle(SPLEETER)
    shortest = next(setting for setting in live_settings(bundle.recipe) if setting.mode == "standard")
    plain = build_network(replace(bundle.recipe, window=Window(frames=64, stride=1)))
    steppers = {
        f"{shortest.latency_ms:.0f} ms": stepper_to_measure(bundle, compute, 1),
        "a window for every frame": TorchStepper(plain, choose_compute(compute), 1),
    }
    return {name: {"way": stepper.way} | back_to_back(step_of(stepper)) for name, stepper in steppers.items()}


# -- 3: a song --------------------------------------------------------------------------------------------------------


def measure_separation(device: torch.device, limit_s: float) -> dict[str, Any]:
    """`rtsep separate` of the bundled song, the first time and once more, and the network alone on a minute of it."""
    found: dict[str, Any] = {}
    for turn in ("first", "again"):
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "rtsep", "separate", str(SONG), "--out", folder, "--model", MODEL]
            done = subprocess.run(
                [*command, "--compute", str(device), "--json"], cwd=REPOSITORY, capture_output=True, timeout=limit_s
            )
        if done.returncode:
            return {"error": done.stderr.decode(errors="replace").strip()}
        told = json.loads(done.stdout)
        wall_s = round(time.perf_counter() - began, 2)
        found[turn] = {"wall_s": wall_s, "seconds": told["seconds"], "times_realtime": told["times_realtime"]}
    return found | {"network alone, times realtime": round(_network_alone(device), 1)}


def _network_alone(device: torch.device) -> float:
    """Seconds of sound that the network masks in a second, given all at once."""
    network = find_bundle(MODEL).load_network().to(device)
    frames = round(60 / HOP_S)
    magnitudes = torch.rand(1, network.channels, network.bins, frames, device=device)
    times: list[float] = []
    end = time.perf_counter() + LONGEST_S
    with torch.inference_mode():
        while len(times) < 12 and (len(times) < 2 or time.perf_counter() < end):
            began = time.perf_counter()
            network.forward(magnitudes, chunk=32)[0, 0, 0, 0, 0].item()  # waits for the device
            times.append(time.perf_counter() - began)
    return frames * HOP_S / min(times)


# -- 5: training ------------------------------------------------------------------------------------------------------


def train(carried: Path, out: Path, device: torch.device, batch: int, left_s: Callable[[], float]) -> dict[str, Any]:
    """Train the carried recipe on the carried music until the time is up; weights and log go to `out` every minute."""
    text = (carried / "recipe.toml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        work, music = Path(folder), carried / "music"
        precision = "bf16" if device.type == "cuda" else "fp32"
        found: dict[str, Any] = {"batch": batch, "precision": precision}
        path = write_recipe(work / "trial.toml", text, batch=batch, precision=precision, steps=TRIAL_STEPS)
        found |= _crops_a_minute(load_recipe(path), music, work / "cache", device)
        trial = Trainer(path, [music], work / "trial", init=find_bundle(MODEL), device=device)
        third_s, times_s = left_s() / 3, list[float]()
        for report in trial.run():
            times_s.append(report["step_s"])
            if left_s() < 2 * third_s:
                trial.stop()
        step_s = statistics.median(times_s[len(times_s) // 3 :])  # the first steps choose algorithms
        steps = max(1, int((left_s() - 5) / step_s))
        path = write_recipe(work / "recipe.toml", text, batch=batch, precision=precision, steps=steps)
        run = work / "run"
        trainer = Trainer(path, [music], run, init=find_bundle(MODEL), device=device, checkpoint_s=CHECKPOINT_S)
        kept_s, reports = time.time(), []
        for report in trainer.run():
            reports.append(report)
            if left_s() < 0:
                trainer.stop()
            if time.time() - kept_s > CHECKPOINT_S:
                _keep(run, out)
                kept_s = time.time()
        _keep(run, out)
        seconds = sum(report["step_s"] for report in reports)
        tenth = max(1, len(reports) // 10)
        return found | {
            "steps": len(reports),
            "steps of the schedule": steps,
            "crops_a_minute": round(60 * batch * len(reports) / seconds),
            "waiting_for_data": round(sum(report["data_s"] for report in reports) / seconds, 4),
            "loss, first tenth": round(statistics.fmean(report["loss"] for report in reports[:tenth]), 4),
            "loss, last tenth": round(statistics.fmean(report["loss"] for report in reports[-tenth:]), 4),
        }


def write_recipe(path: Path, text: str, **train_settings: object) -> Path:
    """The recipe of `text` with other settings in [train], and without the checksum of weights."""
    recipe = tomllib.loads(text)
    recipe.pop("weights", None)
    recipe["train"] |= {"validate_steps": 0, "accumulate": 1, **train_settings}
    recipe["train"]["warmup_steps"] = min(recipe["train"].get("warmup_steps", 100), recipe["train"]["steps"] // 10)
    path.write_text(tomli_w.dumps(recipe), encoding="utf-8")
    return path


def _crops_a_minute(recipe: Recipe, music: Path, cache: Path, device: torch.device) -> dict[str, Any]:
    """Of the loader alone, once it runs."""
    began = time.perf_counter()
    songs, _ = load_songs(recipe, [music], cache, False, shortest_song(recipe))
    decoded_s = time.perf_counter() - began
    sampler = CropSampler(recipe, songs, 1, device)
    with closing(CropLoader(sampler).batches(0)) as batches:
        for _ in islice(batches, 2):
            pass
        began = time.perf_counter()
        crops = sum(len(batch.stems) for batch in islice(batches, DATA_BATCHES))
        seconds = time.perf_counter() - began
    hours = sum(song.samples for song in songs) / SAMPLE_RATE / 3600
    return {
        "songs": len(songs),
        "hours": round(hours, 2),
        "decoded_s": round(decoded_s, 1),
        "songs on the device": sampler.bank.resident_songs,
        "crops_a_minute, data alone": round(60 * crops / seconds),
    }


def _keep(run: Path, out: Path) -> None:
    """Copy what is worth having of a run as far as it is: the latest weights with their recipe, and the log."""
    for path in (*Bundle(run / "bundle").path.glob("*"), run / "log.jsonl"):
        if path.exists():
            shutil.copy(path, out / path.name)
