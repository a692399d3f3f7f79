"""Workers that die, stop, are too slow or talk nonsense while the sound goes on; what is captured is the judge.

Separated, the song is half as loud as it is by itself: one of two equal stems is muted.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import soundfile

from rtsep.audio.devices.discovery import find_device
from rtsep.audio.streams.device_stream import OutputStream
from rtsep.engine.live_engine import NOTICES, Engine
from rtsep.player.file_player import FilePlayer
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind, WorkerProblem
from tests.listening import RATE, Heard, Recorder, click_db, tone_and_noise
from tests.player.fake_stream import FakeStream
from tests.virtual_audio import VirtualAudio
from tests.waiting import wait_until

WET, DRY = 0.5, 1.0
DELAY = RATE
"""The play head is this far behind the newest sample, and the device's buffer as long as fits in: a machine that runs
tests is busy."""
DEVICE_LATENCY_S = 0.8
BACK_LIMIT_S = 5.0
BLOCK = 441


def faulty_bundle(folder: Path) -> tuple[Path, Path]:
    """A model whose faults are asked for in a file: the model's folder, the file."""
    control = folder / "control"
    control.write_text("")
    (folder / "recipe.toml").write_text(
        'name = "faulty"\nnetwork = "tests.networks:Faulty"\nstems = ["vocals", "instrumental"]\n'
        f"[net]\ngains = [0.5, 0.5]\ncontrol = {json.dumps(str(control))}\n"
    )
    return folder, control


class Live:
    """The test song as a live source, K = 1, on virtual speakers; `control` holds the network's fault."""

    def __init__(self, folder: Path, server: VirtualAudio) -> None:
        self._server, self._folder = server, folder
        _, self.control = faulty_bundle(folder)
        self.engine = Engine(folder, chunk=1)
        self.engine.wait_ready()
        self.shared = self.engine.shared
        self.shared.transport.set_gain(0, 0.0)
        self.shared.mixture.restart(1, 0, 0)
        self._ending = threading.Event()
        self._source = threading.Thread(target=self._feed)
        self._source.start()
        self.stream = OutputStream(self.shared, find_device("rt_out").index, 512, latency=DEVICE_LATENCY_S)
        self.stream.start()
        wait_until(lambda: self.shared.mixture.end > DELAY)
        self.shared.transport.post(self.shared.mixture.end - DELAY, 1, RATE)
        self.shared.transport.playing = True
        self.wait_for(Kind.WET)
        time.sleep(DEVICE_LATENCY_S)  # until it is heard

    def _feed(self) -> None:
        began = time.monotonic()
        while not self._ending.wait(0.005):
            missing = round((time.monotonic() - began) * RATE) - self.shared.mixture.end
            for _ in range(missing // BLOCK):
                self.shared.mixture.write(tone_and_noise(self.shared.mixture.end, BLOCK))

    @property
    def kind(self) -> Kind:
        return self.shared.callback.read().kind

    def wait_for(self, kind: Kind) -> float:
        """Seconds until it is heard, and stays so for the next half second."""
        began = time.monotonic()
        while True:
            wait_until(lambda: self.kind == kind)
            since = time.monotonic()
            while time.monotonic() - since < 0.5 and self.kind == kind:
                time.sleep(0.005)
            if self.kind == kind:
                return since - began

    def record(self) -> Recorder:
        return Recorder(self._server, self._folder / "capture.raw")

    def close(self) -> None:
        self.stream.close()
        self._ending.set()
        self._source.join()
        self.engine.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, virtual_audio: VirtualAudio) -> Iterator[Live]:
    session = Live(tmp_path_factory.mktemp("faulty"), virtual_audio)
    yield session
    session.close()


def judge(live: Live, capture: Recorder, fault: str, back_s: float) -> None:
    """The capture has both kinds of sound, no click, no gap, and hardly more changes than there and back."""
    time.sleep(DEVICE_LATENCY_S)
    assert live.shared.callback.read().starved_samples == 0, "the test's own source was late"
    heard = Heard(capture.stop()[:, RATE // 4 :])
    changes = heard.assert_one_song_without_a_gap(WET, DRY)
    clicks = click_db(heard.capture[0])
    print(f"{fault}: separated again after {back_s:.2f} s, {changes} changes, clicks {clicks:.1f} dBFS")
    assert heard.share(DRY) > 0.02
    assert heard.share(WET) > 0.02
    assert clicks < -40
    assert changes <= 8  # two, where the machine has time for the worker


def assert_back_in_time(engine: Engine, wall_s: float) -> None:
    """Within five seconds; where others take the cores away, those that the new worker had count."""
    assert engine.worker_pid is not None
    spent = psutil.Process(engine.worker_pid).cpu_times()
    assert min(wall_s, spent.user + spent.system) <= BACK_LIMIT_S, f"{wall_s:.1f} s"


def test_killed(live: Live) -> None:
    capture = live.record()
    restarts = live.engine.restarts
    os.kill(live.engine.worker_pid or 0, signal.SIGKILL)
    wait_until(lambda: live.kind == Kind.DRY)
    back_s = live.wait_for(Kind.WET)
    assert_back_in_time(live.engine, back_s)
    judge(live, capture, "killed", back_s)
    assert live.engine.restarts == restarts + 1


def test_out_of_memory(live: Live) -> None:
    capture = live.record()
    pid = live.engine.worker_pid or 0
    used = psutil.Process(pid).memory_info().vms
    resource.prlimit(pid, resource.RLIMIT_AS, (used + 2**24, used + 2**24))
    live.control.write_text("memory")
    wait_until(lambda: live.engine.worker_pid != pid)
    live.control.write_text("")
    wait_until(lambda: live.kind == Kind.DRY)
    back_s = live.wait_for(Kind.WET)
    assert_back_in_time(live.engine, back_s)
    judge(live, capture, "out of memory", back_s)


def test_stopped_for_two_seconds(live: Live) -> None:
    capture = live.record()
    pid, restarts = live.engine.worker_pid or 0, live.engine.restarts
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: live.kind == Kind.DRY)
        time.sleep(2.0)
    finally:
        os.kill(pid, signal.SIGCONT)
    back_s = live.wait_for(Kind.WET)
    assert back_s <= BACK_LIMIT_S
    judge(live, capture, "stopped", back_s)
    assert (live.engine.worker_pid, live.engine.restarts) == (pid, restarts)


def test_ten_times_too_slow(live: Live) -> None:
    capture = live.record()
    live.control.write_text("frame 0.232")
    wait_until(lambda: bool(live.engine.notices))
    assert live.engine.notices == (NOTICES[WorkerProblem.TOO_SLOW],)
    wet = live.shared.callback.read().wet_samples
    time.sleep(2.0)
    assert live.shared.callback.read().wet_samples == wet, "to and fro"
    live.control.write_text("")
    back_s = live.wait_for(Kind.WET)
    assert back_s <= BACK_LIMIT_S
    judge(live, capture, "too slow", back_s)
    assert live.engine.notices == ()


def test_not_a_number(live: Live) -> None:
    capture = live.record()
    live.control.write_text("nan")
    wait_until(lambda: live.kind == Kind.DRY)
    assert live.engine.notices == (NOTICES[WorkerProblem.NAN_OUTPUT],)
    time.sleep(0.5)
    live.control.write_text("")
    back_s = live.wait_for(Kind.WET)
    assert back_s <= BACK_LIMIT_S
    judge(live, capture, "not a number", back_s)
    assert live.engine.notices == ()


def test_a_file_that_only_long_steps_can_follow(tmp_path: Path) -> None:
    """0.15 s a step is too slow for 4 frames and leaves time with 32; 0.2 s a frame is too slow for any."""
    song = tmp_path / "song.wav"
    soundfile.write(song, tone_and_noise(0, 60 * RATE).T, RATE, subtype="FLOAT")
    model, control = faulty_bundle(tmp_path)
    streams: list[FakeStream] = []

    def open_stream(shared: SharedState) -> FakeStream:
        streams.append(FakeStream(shared))
        return streams[-1]

    with FilePlayer(song, model=model, open_stream=open_stream) as player:
        player.open()
        player.play()
        control.write_text("step 0.15")
        player.seek(10)
        wait_until(lambda: player.status().notices == (NOTICES[WorkerProblem.CHUNK_RAISED],))
        # What was separated before the chunk was raised may still be heard for some blocks, and a block dry after it.
        assert wait_until(lambda: set(streams[0].kinds[-20:]) == {Kind.WET}) <= BACK_LIMIT_S
        assert player.engine.stats().chunk == 32
        before = len(streams[0].kinds)
        time.sleep(2.0)
        assert set(streams[0].kinds[before:]) == {Kind.WET}
        control.write_text("")
        wait_until(lambda: player.status().notices == ())
        control.write_text("frame 0.2")
        player.seek(30)
        wait_until(lambda: player.status().notices == (NOTICES[WorkerProblem.TOO_SLOW],))
        assert player.status().kind == Kind.DRY
        control.write_text("")
        assert wait_until(lambda: player.status().kind == Kind.WET) <= BACK_LIMIT_S
        status = player.status()
        assert (status.messages, status.engine.restarts) == ((), 0)
