"""Fixtures that several test modules share: virtual audio devices, none at all, small models, sounds."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pytest

from rtsep.bundle import user_folder
from tests.virtual_audio import VirtualAudio, why_not

if TYPE_CHECKING:
    from rtsep.nn.frame_transformer import FrameTransformer

# Before torch is imported: its threads spin for each other, and the cores belong to the sound under test too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What the user has installed changes no test: beside the bundled models there are none, in child processes too. Only
# the fixture `real_spleeter` looks where `make test` has put the real weights.
os.environ.setdefault("RTSEP_TEST_SPLEETER", str(user_folder() / "spleeter-2stems"))
os.environ["RTSEP_MODEL_DIR"] = "/nonexistent/rtsep/models"

# No deadline for a single example: machines that run tests are busy, and a first call may compile.
hypothesis.settings.register_profile("rtsep", deadline=None)
hypothesis.settings.load_profile("rtsep")


def _let_children_hear_signals() -> None:
    """Background jobs and `nohup` ignore these, and hand that on: no program under test could then be interrupted.

    With a handler of its own this process still pays no heed to them, and what it starts begins as usual.
    """
    for number in (signal.SIGINT, *([signal.SIGHUP] if sys.platform != "win32" else [])):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


_let_children_hear_signals()

# Continuous integration sets these: there, a test with such a fixture may not skip.
REQUIRED = {
    fixture: variable
    for fixture, variable in {"virtual_audio": "RTSEP_REQUIRE_AUDIO", "real_spleeter": "RTSEP_REQUIRE_SPLEETER"}.items()
    if os.environ.get(variable) == "1"
}
REPOSITORY = Path(__file__).parent.parent
_STATES = itertools.count()


AGAINST_THE_CLOCK = (
    "audio/programs/test_",
    "audio/streams/test_device_stream.py",
    "benches/test_soak.py",
    "cli/commands/test_devices.py",
    "cli/commands/test_live",
    "cli/commands/test_play.py",
    "cli/commands/test_play_app.py",
    "cli/commands/test_play_keys.py",
    "cli/test_routes.py",
    "engine/test_live_engine_deadlines.py",
    "player/ahead/test_engine.py",
    "player/queue/test_navigation.py",
    "player/test_capture.py",
    "player/test_device_faults.py",
    "player/test_faults.py",
    "player/test_file_player.py",
    "player/test_live_faults.py",
    "player/test_live_player.py",
    "player/test_recorder.py",
    "test_virtual_audio.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs against the clock `realtime`: it needs the machine to itself. The rest runs side by side."""
    for item in items:
        if item.path.relative_to(REPOSITORY / "tests").as_posix().startswith(AGAINST_THE_CLOCK):
            item.add_marker("realtime")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that uses a fixture of REQUIRED fails where it would skip."""
    report = yield
    for fixture, variable in REQUIRED.items():
        if report.skipped and fixture in getattr(item, "fixturenames", ()):
            report.outcome = "failed"
            report.longrepr = f"{variable}=1 and yet skipped: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins as a new user does. The folder is made only where a player remembers something."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / f"state{next(_STATES)}"))


def _reopen_portaudio() -> None:
    """Let a PortAudio that is already initialised in this process look for devices again."""
    if (sounddevice := sys.modules.get("sounddevice")) is not None:
        while sounddevice._initialized:
            sounddevice._terminate()
        sounddevice._initialize()


@pytest.fixture(scope="session")
def virtual_audio() -> Iterator[VirtualAudio]:
    """A running private audio server whose devices this process and its children see through PortAudio.

    A test that kills the server restarts it before it ends.
    """
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    server = VirtualAudio()
    with pytest.MonkeyPatch.context() as patch:
        try:
            server.start()
            for name, value in server.environment.items():
                patch.setenv(name, value)
            _reopen_portaudio()
            yield server
        finally:
            # PortAudio first: closing a stream whose server is gone can hang.
            if (sounddevice := sys.modules.get("sounddevice")) is not None:
                while sounddevice._initialized:
                    sounddevice._terminate()
            server.stop()


@pytest.fixture
def silent_environment(tmp_path: Path) -> dict[str, str]:
    """The environment for a child process that shall find no sound device, whatever this machine has."""
    nothing = tmp_path / "no-sound-devices.conf"
    # One entry that leads nowhere: PortAudio aborts the process when ALSA knows of none.
    nothing.write_text("pcm.none { type empty }\n")
    hidden = {
        "ALSA_CONFIG_PATH": str(nothing),
        "PULSE_SERVER": "unix:/nonexistent",
        "JACK_NO_START_SERVER": "1",
        "JACK_DEFAULT_SERVER": "nonexistent",
    }
    return os.environ | hidden


@contextmanager
def only_device(environment: dict[str, str], rate: int) -> Iterator[dict[str, str]]:
    """The environment for a child process whose one sound device, `system`, refuses every rate but this, in Hz.

    It is JACK's dummy: a strict clock without hardware.
    """
    if shutil.which("jackd") is None:
        pytest.skip("a device of one rate only needs jackd: apt-get install jackd2")
    name = f"rtsep-{os.getpid()}"
    environment = environment | {"JACK_DEFAULT_SERVER": name, "JACK_NO_AUDIO_RESERVATION": "1"}
    command = ["jackd", "-n", name, "-r", "-d", "dummy", "-r", str(rate), "-p", "256"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            subprocess.run(["jack_wait", "-w", "-t", "20"], env=environment, capture_output=True, check=True)
            yield environment
        finally:
            server.terminate()


@pytest.fixture
def only_48k(silent_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """See `only_device`."""
    with only_device(silent_environment, 48000) as environment:
        yield environment


@pytest.fixture
def only_384k(silent_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """See `only_device`."""
    with only_device(silent_environment, 384000) as environment:
        yield environment


@pytest.fixture
def constant_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Maker of models with fixed masks: `constant_bundle(vocals=0.25, instrumental=0.75) -> folder`."""

    def make(**gains: float) -> Path:
        gains = gains or {"vocals": 0.0, "instrumental": 1.0}
        folder = tmp_path / "-".join(["constant", *(f"{stem}{gain:g}" for stem, gain in gains.items())])
        folder.mkdir(exist_ok=True)
        stems = ", ".join(f'"{stem}"' for stem in gains)
        (folder / "recipe.toml").write_text(
            f'name = "{folder.name}"\n'
            'network = "rtsep.nn.constant:ConstantMask"\n'
            f"stems = [{stems}]\n"
            "[net]\n"
            f"gains = {[float(gain) for gain in gains.values()]}\n"
        )
        return folder

    return make


@pytest.fixture(scope="session")
def short_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of stereo at 44.1 kHz, 32-bit float: a chord of its own in each channel, a little noise."""
    import soundfile

    time_s = np.arange(2 * 44100) / 44100
    noise = np.random.default_rng(0).standard_normal((2, time_s.size)) * 0.01
    chords = [[220.0, 277.2, 329.6], [233.1, 293.7, 349.2]]
    tones = np.array([sum(np.sin(2 * np.pi * hertz * time_s) for hertz in chord) for chord in chords])
    path = tmp_path_factory.mktemp("sounds") / "short.wav"
    soundfile.write(path, (0.12 * tones + noise).T.astype(np.float32), 44100, subtype="FLOAT")
    return path


@pytest.fixture(scope="session")
def song() -> Path:
    """Folder of the bundled song: `mixture.flac` with its true stems beside it."""
    found = sorted(REPOSITORY.glob("demo/*/mixture.flac"))
    if not found:
        pytest.skip("the bundled song is not there: demo/*/mixture.flac")
    return found[0].parent


@pytest.fixture(scope="session")
def default_bundle() -> Path:
    """Folder of the default model."""
    folder = REPOSITORY / "models" / "frame-transformer-2stems"
    if not (folder / "weights.safetensors").exists():
        pytest.skip("the default model has no weights yet: models/frame-transformer-2stems")
    return folder


@pytest.fixture(scope="session")
def real_spleeter() -> Path:
    """Folder of the model with Spleeter's published two-stem weights."""
    folder = Path(os.environ["RTSEP_TEST_SPLEETER"])
    if not (folder / "weights.safetensors").exists():
        pytest.skip(f"{folder} has no weights: rtsep models get spleeter-2stems")
    return folder


@pytest.fixture(scope="session")
def transformer() -> FrameTransformer:
    """A frame transformer of the default's context with few and random weights."""
    import torch

    from rtsep.nn.frame_transformer import FrameTransformer

    torch.manual_seed(3)
    return FrameTransformer(stems=["vocals", "instrumental"], widths=(8, 8, 8), width=256, layers=(1, 1, 1))
