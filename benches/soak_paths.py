"""Two ways to feed and capture a player on one timeline without end: PulseAudio, and JACK with its strict clock.

Each is a context manager with `environment`, `given` (input) and `taken` (output) for the player, `connect`, and
`chunks`, which yields the input and the output of the player, (2, n) each, for the same time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import RtsepError
from tests.live_path import FEED, MICROPHONE, RECORDING, SPEAKERS, LivePath
from tests.virtual_audio import why_not

if TYPE_CHECKING:
    from rtsep.audio.streams.live_stream import LiveStream
    from rtsep.shared.state import SharedState

RATE = 44100
PIECE = 4096
Sound = Callable[[int, int], NDArray[np.float32]]
"""Samples (2, n) from a position on, without an end."""


class _Path:
    given = taken = ""

    def __init__(self, sound: Sound) -> None:
        self._sound = sound
        self._ending = threading.Event()
        self._stack = ExitStack()
        self.environment: dict[str, str] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._stack.close()

    def connect(self) -> None:
        """Connect the running player with both ends, unless the names of devices do that."""

    def underruns(self) -> int | None:
        """Underruns counted by the sound server; None if it hides them."""
        return None


class PulsePath(_Path):
    """Virtual microphone and speakers of a private PulseAudio server."""

    given, taken = MICROPHONE, SPEAKERS

    def __enter__(self) -> PulsePath:
        if (reason := why_not()) is not None:
            raise RtsepError(reason)
        path = self._stack.enter_context(LivePath(Path(self._stack.enter_context(_folder()))))
        self.environment = path.environment
        form = ["--raw", "--format=float32le", f"--rate={RATE}", "--channels=2", "--latency-msec=200"]
        self._feed = self._start(["pacat", "-p", "-d", FEED, *form], stdin=subprocess.PIPE)
        threading.Thread(target=self._say, daemon=True).start()
        self._record = self._start(RECORDING, stdout=subprocess.PIPE)
        return self

    def chunks(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Until the end."""
        assert self._record.stdout is not None
        while not self._ending.is_set() and (raw := self._record.stdout.read(PIECE * 16)):
            both = np.frombuffer(raw, "<f4", len(raw) // 16 * 4).reshape(-1, 4).T
            yield both[:2], both[2:]

    def _start(self, command: list[str], **pipes: Any) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command, env=self.environment, stderr=subprocess.DEVNULL, start_new_session=True, **pipes
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def _say(self) -> None:
        assert self._feed.stdin is not None
        begin = 0
        try:
            while not self._ending.is_set():
                self._feed.stdin.write(self._sound(begin, PIECE).T.astype("<f4").tobytes())
                begin += PIECE
        except (BrokenPipeError, ValueError):
            pass  # the end


class JackPath(_Path):
    """A JACK server whose clock is a timer, and a second client that plays and captures in one callback."""

    given = taken = "system"

    def __enter__(self) -> JackPath:
        if shutil.which("jackd") is None:
            raise RtsepError("--jack needs jackd and its tools, which are not installed: apt-get install jackd2")
        name = f"rtsep-bench-{os.getpid()}"
        nothing = Path(self._stack.enter_context(_folder())) / "no-other-devices.conf"
        nothing.write_text("pcm.none { type empty }\n")
        ours = {
            "JACK_DEFAULT_SERVER": name,
            "JACK_NO_START_SERVER": "1",
            "JACK_NO_AUDIO_RESERVATION": "1",
            "ALSA_CONFIG_PATH": str(nothing),
            "PULSE_SERVER": "unix:/nonexistent",
        }
        self.environment = os.environ | ours
        self._log = self._stack.enter_context((nothing.parent / "jackd.log").open("w+"))
        server_part = ["-n", name, "-R", "-P", "20"]  # in a real-time class, as it is meant to run
        command = ["jackd", *server_part, "-d", "dummy", "-r", str(RATE), "-p", "256", "-C", "2", "-P", "2"]
        server = subprocess.Popen(
            command, env=self.environment, stdout=self._log, stderr=self._log, start_new_session=True
        )
        self._stack.callback(server.wait)
        self._stack.callback(server.terminate)
        self._run(["jack_wait", "-w", "-t", "20"])
        os.environ.update(ours)  # before PortAudio begins in this process
        self._stack.callback(_end_portaudio)  # before the server ends, or it ends this process
        self._open()
        return self

    def _open(self) -> None:
        from rtsep.audio.devices.discovery import find_device
        from rtsep.audio.streams.live_stream import LiveStream
        from rtsep.shared.state import SharedLayout, SharedState

        layout = SharedLayout(("sound",))
        self._shared: SharedState = SharedState(layout, bytearray(layout.nbytes))
        self._shared.initialise()
        self._shared.mixture.restart(1, 0, 0)
        self._shared.stem.restart(1, 0, 0)
        system = find_device("system", "input"), find_device("system", "output")
        self._stream: LiveStream = LiveStream(self._shared, *system, 256)
        self._stack.callback(self._stream.close)
        self._said = 0
        self._say()
        self._stream.start()
        self._shared.transport.playing = True
        self._shared.transport.post(0, 1, 0)
        self._own = self._clients()
        threading.Thread(target=self._keep_saying, daemon=True).start()

    def connect(self) -> None:
        (player,), (own,) = self._clients() - self._own, self._own
        for channel in (0, 1):
            self._run(["jack_connect", f"{own}:out_{channel}", f"{player}:in_{channel}"])
            self._run(["jack_connect", f"{player}:out_{channel}", f"{own}:in_{channel}"])

    def chunks(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Until the end. Captured in the callback that plays, so positions are the same on both sides."""
        position = self._shared.mixture.end
        offset: int | None = None
        while not self._ending.is_set():
            if self._shared.mixture.end < position + PIECE:
                time.sleep(0.02)
                continue
            heard = np.empty((2, PIECE), np.float32)
            if not self._shared.mixture.read(position, heard, 1):
                raise RtsepError("the capture was read too slowly: samples were lost, and the run cannot be checked")
            if offset is None:  # constant: one callback moves both heads by the same block
                head = self._shared.callback.read()
                offset = head.position - head.frames
            yield self._sound(max(position + offset, 0), PIECE), heard
            position += PIECE

    def underruns(self) -> int:
        self._log.flush()
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace").count("XRun")

    def _clients(self) -> set[str]:
        listed = subprocess.run(["jack_lsp"], env=self.environment, capture_output=True, text=True, check=True).stdout
        return {line.rsplit(":", 1)[0] for line in listed.splitlines() if ":in_" in line}

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise RtsepError(f"{command[0]}: {(done.stderr or done.stdout).strip()}")

    def _say(self) -> None:
        while self._said < self._shared.callback.position + 2 * RATE:
            self._shared.stem.write(self._sound(self._said, PIECE))
            self._said += PIECE

    def _keep_saying(self) -> None:
        while not self._ending.wait(0.1):
            self._say()


def _end_portaudio() -> None:
    import sounddevice

    while sounddevice._initialized:
        sounddevice._terminate()


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="rtsep-bench-")
