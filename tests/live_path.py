"""A microphone and speakers on one timeline: what enters and what leaves is in one recording, sample by sample.

Microphone and speakers are two pairs of channels of one virtual sink, and its monitor records all four. A click's way
through a program between the two is so measured without any clock: as a number of samples in the recording.

The microphone is that monitor itself, of which the server gives two channels. It must not be another virtual source
made of the monitor: a monitor hears a sound before it is played, which the server takes into account for the monitor
alone, so that time stamps would be wrong by a block or two.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

import numpy as np

from tests.virtual_audio import VirtualAudio

RATE = 44100
MICROPHONE, SPEAKERS, FEED = "rt_live_mic", "rt_live_out", "rt_live_feed"
_FRONT, _REAR = "front-left,front-right", "rear-left,rear-right"
_PAIR = ["channels=2", "remix=no", f"channel_map={_FRONT}"]
_MODULES = [
    ["module-null-sink", "sink_name=rt_all", f"rate={RATE}", "channels=4", f"channel_map={_FRONT},{_REAR}"]
    + ["format=float32le", "norewinds=1"],
    ["module-remap-sink", f"sink_name={SPEAKERS}", "master=rt_all", f"master_channel_map={_REAR}", *_PAIR],
    ["module-remap-sink", f"sink_name={FEED}", "master=rt_all", f"master_channel_map={_FRONT}", *_PAIR],
]
RECORDING = ["parec", "-d", "rt_all.monitor", "--raw", "--format=float32le", f"--rate={RATE}", "--channels=4"]
RECORDING += [f"--channel-map={_FRONT},{_REAR}"]
"""The command that records both ends, interleaved: microphone, microphone, speakers, speakers."""
_DEVICES = f"""
pcm.{SPEAKERS} {{ type pulse device "{SPEAKERS}" hint {{ show on description "speakers" }} }}
pcm.{FEED} {{ type pulse device "{FEED}" hint {{ show on description "feeds the microphone" }} }}
pcm.{MICROPHONE} {{ type pulse device "rt_all.monitor" hint {{ show on description "microphone" }} }}
"""


class LivePath:
    """A server with such devices, a recording of both ends, and something that plays into the microphone.

    A context manager.

    Attributes:
        environment: of a process that shall see the devices.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = VirtualAudio(remixing=False)
        self._processes: list[subprocess.Popen[bytes]] = []
        self.environment = os.environ | self._server.environment

    def __enter__(self) -> LivePath:
        self._server.start()
        with (self._server.folder / "asound.conf").open("a") as config:
            config.write(_DEVICES)
        for module in _MODULES:
            command = ["pactl", "load-module", *module]
            subprocess.run(command, env=self.environment, stdout=subprocess.DEVNULL, timeout=10, check=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._server.stop()

    def record(self) -> None:
        """Begin to record both ends."""
        with (self._folder / "both.raw").open("wb") as file:
            self._processes.append(subprocess.Popen(RECORDING, stdout=file, env=self.environment))

    def say(self, sound: np.ndarray) -> None:
        """Play `sound` (2, n) into the microphone; returns at once."""
        path = self._folder / "said.raw"
        sound.T.astype("<f4").tofile(path)
        form = ["--raw", "--format=float32le", f"--rate={RATE}", "--channels=2", "--latency-msec=100"]
        self._processes.append(subprocess.Popen(["pacat", "-p", "-d", FEED, *form, str(path)], env=self.environment))

    def recorded(self) -> tuple[np.ndarray, np.ndarray]:
        """End the recording: what the microphone heard and what the speakers played, (2, n) each, of the same time."""
        time.sleep(0.3)
        self._processes[0].send_signal(signal.SIGINT)
        self._processes[0].wait(timeout=10)
        raw = np.fromfile(self._folder / "both.raw", "<f4")
        both = raw[: len(raw) // 4 * 4].reshape(-1, 4).T
        return both[:2], both[2:]


def clicks(seconds: float, apart: int = 20011) -> np.ndarray:
    """Silence with a click every `apart` samples, (2, n)."""
    sound = np.zeros((2, round(seconds * RATE)), np.float32)
    sound[:, apart::apart] = 0.5
    return sound


def delays(entered: np.ndarray, left: np.ndarray, level: float, longest: int) -> list[int]:
    """For every click in `entered` (2, n) the samples until one is in `left`, of those that come within `longest`."""
    told = np.flatnonzero(np.abs(entered[0]) > 0.25)
    heard = np.flatnonzero(np.abs(left[0]) > level)
    after = [(click, heard[heard > click]) for click in told]
    return [int(later[0] - click) for click, later in after if len(later) and later[0] - click < longest]
