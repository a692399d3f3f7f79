"""The worker as a process: how it begins, how it ends, and what is left behind when somebody is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rtsep
from rtsep.bundle import build_network, write_bundle
from rtsep.engine.live_engine import Engine
from rtsep.errors import RtsepError, UsageError
from rtsep.nn.windowed import Windowed
from rtsep.recipe import load_recipe
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.system.spawn import ChildProcess
from tests.engine.worker_loop_bench import separated
from tests.networks import LevelShares
from tests.waiting import wait_until

ROOT = str(Path(rtsep.__file__).parent.parent)
STEMS = ("vocals", "instrumental")


def bundle(folder: Path, network: str, **net: object) -> Path:
    """A model folder with a network of the tests."""
    fields = "\n".join(f"{key} = {json.dumps(value)}" for key, value in ({"gains": [0.5, 0.5]} | net).items())
    folder.mkdir(exist_ok=True)
    (folder / "recipe.toml").write_text(
        f'name = "{folder.name}"\nnetwork = "{network}"\nstems = {json.dumps(STEMS)}\n[net]\n{fields}\n'
    )
    return folder


def give_weights(folder: Path) -> None:
    recipe = load_recipe(folder / "recipe.toml")
    write_bundle(folder, recipe, (folder / "recipe.toml").read_text(), build_network(recipe).state_dict(), "MIT")


def play_noise(shared: SharedState, seconds: float = 5.0) -> np.ndarray:
    """Put a song on the mixture ring, as a source would; returns it."""
    song = np.random.default_rng(2).uniform(-0.5, 0.5, (2, round(seconds * 44100))).astype(np.float32)
    shared.mixture.restart(1, 0, 0)
    shared.mixture.write(song)
    return song


def test_a_worker_separates_what_is_on_the_ring(constant_bundle: Callable[..., Path]) -> None:
    with Engine(constant_bundle(vocals=0.25, instrumental=0.75), chunk=4) as engine:
        engine.wait_ready()
        song = play_noise(engine.shared)
        wait_until(lambda: engine.shared.stem.epoch == 1 and engine.shared.stem.end >= 100_000)
        out = np.zeros((4, 100_000), np.float32)
        assert engine.shared.stem.read(0, out, 1)
        np.testing.assert_allclose(out[:2], 0.25 * song[:, :100_000], atol=1e-6)
        np.testing.assert_allclose(out[2:], 0.75 * song[:, :100_000], atol=1e-6)
        stats = engine.stats()
        assert (stats.chunk, stats.restarts, stats.late_hops) == (4, 0, 0)
        assert stats.hops >= 97
        assert 0 < stats.compute_p50_ms <= stats.compute_p99_ms < 100
        assert engine.compute == "cpu" or engine.compute.startswith("cuda")


def test_a_network_of_windows_begins_with_the_instant_network(tmp_path: Path, default_bundle: Path) -> None:
    """And goes on by itself, with the stems of uninterrupted play."""
    folder = bundle(tmp_path / "windows", "tests.networks:LevelShares")
    with (folder / "recipe.toml").open("a") as recipe:
        recipe.write("[window]\nframes = 128\nstride = 32\nlookahead = 32\n")
    give_weights(folder)
    with Engine(folder) as engine:
        engine.wait_ready()
        song = play_noise(engine.shared, seconds=8.0)
        end = 150 * 1024
        wait_until(lambda: engine.shared.stem.epoch == 1 and engine.shared.stem.end >= end)
        out = np.zeros((4, end), np.float32)
        assert engine.shared.stem.read(0, out, 1)
        assert engine.notices == ()
    vocals = separated(Windowed(LevelShares(), 1, 1), 32, song)[0, :, :end]
    difference = np.abs(out[:2] - vocals).reshape(2, -1, 1024).max(axis=(0, 2))
    assert difference[:10].min() > 0.01  # 1 / (1 + level) is none of the default model's masks
    assert difference[-20:].max() < 1e-5


def test_a_model_that_cannot_be_loaded_is_reported_while_the_instant_network_goes_on(
    tmp_path: Path, default_bundle: Path
) -> None:
    folder = bundle(tmp_path / "windows", "tests.networks:LevelShares")
    with (folder / "recipe.toml").open("a") as recipe:
        recipe.write("[window]\nframes = 128\nstride = 32\nlookahead = 32\n")
    give_weights(folder)
    content = bytearray((folder / "weights.safetensors").read_bytes())
    (folder / "weights.safetensors").write_bytes(content + b"x")
    with Engine(folder) as engine:
        engine.wait_ready()
        play_noise(engine.shared, seconds=8.0)
        wait_until(lambda: engine.notices != (), limit_s=60)
        assert "weights.safetensors is damaged or was changed" in engine.notices[0]
        assert engine.notices[0].endswith("; playing frame-transformer-2stems instead")
        wait_until(lambda: engine.shared.stem.end >= 150 * 1024)  # as far ahead as without a model
        assert engine.poll() == 0


def test_the_worker_takes_the_latency_mode(constant_bundle: Callable[..., Path]) -> None:
    with Engine(constant_bundle(vocals=0.25, instrumental=0.75), chunk=1, latency="low") as engine:
        assert engine.support == 2048
        engine.wait_ready()
        song = play_noise(engine.shared, seconds=10 * 1024 / 44100)
        wait_until(lambda: engine.shared.stem.epoch == 1 and engine.shared.stem.end == 9 * 1024)  # one hop behind
        out = np.zeros((4, 9 * 1024), np.float32)
        assert engine.shared.stem.read(0, out, 1)
        np.testing.assert_allclose(out[:2], 0.25 * song[:, : 9 * 1024], atol=1e-6)
    with pytest.raises(UsageError, match="latency='lower': expected standard, medium, low or milliseconds"):
        Engine(constant_bundle(), latency="lower")


def test_killed_while_it_still_imports_it_is_back_too(constant_bundle: Callable[..., Path]) -> None:
    with Engine(constant_bundle()) as engine:
        wait_until(lambda: engine.worker_pid is not None)
        pid = engine.worker_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        engine.wait_ready()
        assert engine.poll() == 1


def test_what_a_network_prints_does_not_disturb(tmp_path: Path) -> None:
    with Engine(bundle(tmp_path / "chatty", "tests.networks:Chatty")) as engine:
        engine.wait_ready()
        play_noise(engine.shared)
        wait_until(lambda: engine.shared.stem.epoch == 1 and engine.shared.stem.end > 50_000)
        assert engine.poll() == 0


def test_a_worker_that_cannot_start_says_why(tmp_path: Path, constant_bundle: Callable[..., Path]) -> None:
    broken = bundle(tmp_path / "nowhere", "no.such.module:Network")
    with Engine(broken) as engine, pytest.raises(RtsepError, match=r"no\.such\.module"):
        engine.wait_ready()
    crashing = bundle(tmp_path / "crashing", "tests.networks:Crashing")
    with Engine(crashing) as engine, pytest.raises(RtsepError, match="the roof fell in"):
        engine.wait_ready()
    with (
        Engine(constant_bundle(), compute="cuda:99") as engine,
        pytest.raises(RtsepError, match="cuda:99 not found"),
    ):
        engine.wait_ready()


@pytest.fixture
def two_failed_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes seconds."""
    monkeypatch.setattr("rtsep.engine.live_engine.MAX_FAILED_STARTS", 2)


@pytest.mark.usefixtures("two_failed_starts")
def test_a_worker_that_dies_at_every_start_is_given_up(tmp_path: Path) -> None:
    with Engine(bundle(tmp_path / "dying", "tests.networks:Dying")) as engine:
        with pytest.raises(RtsepError, match="does not start: exit code 9"):
            engine.wait_ready()
        assert engine.failure is not None
        assert engine.worker_pid is None


@pytest.mark.usefixtures("two_failed_starts")
def test_a_worker_that_dies_before_it_has_separated_anything_is_given_up(tmp_path: Path) -> None:
    with Engine(bundle(tmp_path / "shaking", "tests.networks:CrashingWhenLoud")) as engine:
        engine.wait_ready()
        engine.shared.mixture.restart(1, 0, 0)
        engine.shared.mixture.write(20 * np.random.default_rng(2).standard_normal((2, 44100)).astype(np.float32))
        wait_until(lambda: engine.failure is not None, limit_s=60)
        assert engine.failure == (
            "the separation worker exits before it has separated anything: RuntimeError: the walls shook"
        )
        assert (engine.restarts, engine.worker_pid) == (1, None)


@pytest.mark.parametrize(("key", "value"), [("n_fft", 8192), ("hop", 512), ("sample_rate", 48000), ("channels", 1)])
def test_a_recipe_for_another_transform_is_refused_by_name(
    constant_bundle: Callable[..., Path], key: str, value: int
) -> None:
    folder = constant_bundle()
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(f"{text}[stft]\n{key} = {value}\n")
    for use in (Engine, rtsep.load):
        with pytest.raises(RtsepError, match=rf"\[stft\] {key} = {value}: expected"):
            use(folder)


def test_a_network_that_looks_back_further_than_the_ring_is_refused(tmp_path: Path) -> None:
    with (
        Engine(bundle(tmp_path / "elephant", "tests.networks:LongMemory")) as engine,
        pytest.raises(RtsepError, match="context is 193 frames: at most 192"),
    ):
        engine.wait_ready()


def test_a_network_that_looks_ahead_further_than_the_silence_after_a_song_is_refused(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "prophet", "tests.networks:LevelShares")
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(f"{text}[window]\nframes = 94\nstride = 94\n")
    with Engine(folder) as engine, pytest.raises(RtsepError, match="lookahead is 93 frames: at most 92"):
        engine.wait_ready()


def test_a_worker_that_loses_its_device_is_followed_by_one_on_the_cpu(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "model", "tests.networks:LosingItsDevice", marks=str(tmp_path))
    with Engine(folder, compute="auto") as engine:
        engine.wait_ready()
        assert engine.device_error is None
        engine.shared.mixture.restart(1, 0, 0)
        engine.shared.mixture.write(np.random.default_rng(2).uniform(-5, 5, (2, 100_000)).astype(np.float32))
        wait_until(lambda: engine.shared.stem.epoch == 1 and engine.shared.stem.end > 50_000, limit_s=60)
        assert engine.poll() == 1
        assert engine.compute == "cpu"
        assert engine.device_error == "cuda:0 failed: an illegal memory access was encountered"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: the loss of one not tested")
def test_a_card_that_fails_is_followed_by_the_cpu(tmp_path: Path) -> None:
    """A real failure in the worker. What was not separated meanwhile is missing on the ring: it is played dry."""
    with Engine(bundle(tmp_path / "model", "tests.networks:LosingItsCard"), compute="cuda") as engine:
        engine.wait_ready()
        assert (engine.compute, engine.device_error) == ("cuda:0", None)
        engine.shared.mixture.restart(1, 0, 0)
        engine.shared.mixture.write(np.random.default_rng(2).uniform(-5, 5, (2, 100_000)).astype(np.float32))
        wait_until(lambda: engine.shared.stem.epoch == 1 and engine.shared.stem.end > 50_000, limit_s=60)
        assert (engine.poll(), engine.compute) == (1, "cpu")
        assert engine.device_error is not None and engine.device_error.startswith("cuda:0 failed")


def test_an_engine_that_is_closed_while_its_worker_starts_just_ends(
    constant_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[object] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    closing = threading.Event()
    describe = SharedLayout.to_json

    def describe_late(layout: SharedLayout) -> str:
        closing.wait()
        time.sleep(0.2)  # the engine is closed between here and the worker's configuration
        return describe(layout)

    monkeypatch.setattr(SharedLayout, "to_json", describe_late)
    engine = Engine(constant_bundle())
    threading.Timer(0.1, closing.set).start()
    engine.close()
    assert (errors, engine.failure, engine.worker_pid) == ([], None, None)


def test_a_worker_that_cannot_get_a_temporary_file_is_reported_at_once(
    tmp_path: Path, constant_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with Engine(constant_bundle()) as engine, pytest.raises(RtsepError, match="set TMPDIR to a writable folder"):
        engine.wait_ready(limit_s=5)


class _BrokenSupervision(Engine):
    def _listen(self, process: ChildProcess) -> dict[str, Any]:
        raise KeyError("lookahead_frames")


def test_an_unexpected_error_in_supervision_is_reported_and_ends_the_worker(
    constant_bundle: Callable[..., Path],
) -> None:
    with _BrokenSupervision(constant_bundle()) as engine:
        with pytest.raises(RtsepError, match="the separation engine failed: KeyError: 'lookahead_frames'"):
            engine.wait_ready(limit_s=5)
        wait_until(lambda: engine.worker_pid is None)


def test_nothing_is_left_in_shared_memory(constant_bundle: Callable[..., Path]) -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("no /dev/shm here")
    before = set(os.listdir("/dev/shm"))
    engine = Engine(constant_bundle())
    engine.wait_ready()
    assert not [name for name in set(os.listdir("/dev/shm")) - before if "rtsep" in name]
    os.kill(engine.worker_pid or 0, signal.SIGKILL)
    engine.close()
    assert not [name for name in set(os.listdir("/dev/shm")) - before if "rtsep" in name]


def test_the_worker_is_not_started_by_hand() -> None:
    child = subprocess.run(
        [sys.executable, "-m", "rtsep.engine.worker", "--help"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert child.returncode == 1
    assert "started by rtsep itself" in child.stderr
