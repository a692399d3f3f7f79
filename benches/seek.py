"""Duration of a seek: from the key press to the first separated sample that leaves the callback.

Plays the bundled song, four times in a row, as WAV, FLAC, MP3, Ogg Vorbis, Opus and M4A, through decoder, worker
process and compiled callback; a clock requests blocks of 256 samples at the rate of a device. The latency of a device
is not included.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from benches.report import SONG, Row, Table, tail
from rtsep.player.file_player import FilePlayer
from rtsep.shared.state import SharedState
from rtsep.shared.status import Kind
from tests.player.fake_stream import PacedStream

RATE = 44100
BLOCK = 256
SETTLE_S = 1.0
"""Pause between two seeks, so that the last one has finished."""
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")


class Clock(PacedStream):
    """A device without hardware; `first_wet(epoch)` waits for the end of the first separated block of an epoch."""

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared, BLOCK)
        self._wet: dict[int, float] = {}

    def first_wet(self, epoch: int, limit_s: float = 5.0) -> float:
        """Time of that block in seconds; infinity if there is none."""
        deadline = time.perf_counter() + limit_s
        while epoch not in self._wet and time.perf_counter() < deadline:
            time.sleep(0.01)
        return self._wet.get(epoch, float("inf"))

    def _exchange(self) -> None:
        self.mix()
        head = self.shared.callback.read()
        if head.kind == Kind.WET:
            self._wet.setdefault(head.epoch, time.perf_counter())


def write(path: Path, samples: np.ndarray) -> None:
    """Write `samples` (n, 2) in the format of the path's extension."""
    if path.suffix == ".m4a":
        import av

        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=RATE, layout="stereo")
            for at in range(0, len(samples), 1024):
                planes = np.ascontiguousarray(samples[at : at + 1024].T)
                frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = RATE, at
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return
    kinds = {".ogg": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS"), ".mp3": ("MP3", None)}
    kind, subtype = kinds.get(path.suffix, (None, None))
    rate = 48000 if path.suffix == ".opus" else RATE
    with soundfile.SoundFile(path, "w", rate, 2, format=kind, subtype=subtype) as file:
        for at in range(0, len(samples), RATE):
            file.write(samples[at : at + RATE])


def measure(path: Path, model: str | None, jumps: int) -> tuple[np.ndarray, np.ndarray]:
    """Durations in ms of `jumps` seeks to random positions, and of as many to a cue."""
    clocks: list[Clock] = []

    def open_stream(shared: SharedState) -> Clock:
        clocks.append(Clock(shared))
        return clocks[-1]

    random = np.random.default_rng(0)
    with FilePlayer(path, model=model, open_stream=open_stream) as player:
        player.open()
        player.play()
        length = player.source.songs[0].length or 0

        def timed(jump: Callable[[], None]) -> float:
            time.sleep(SETTLE_S + random.uniform(0.0, 0.1))
            began = time.perf_counter()
            jump()
            return 1000 * (clocks[0].first_wet(player.epoch) - began)

        def seek() -> None:
            player.seek(random.uniform(6.0, length / RATE - 6.0))

        timed(seek)
        anywhere = [timed(seek) for _ in range(jumps)]
        time.sleep(2 * SETTLE_S)
        player.set_cue()
        cue = [timed(player.go_to_cue) for _ in range(jumps)]
    return np.array(anywhere), np.array(cue)


def table(model: str | None, jumps: int) -> Table:
    """Seeks to random positions and to a cue, in every format."""
    song = np.concatenate([soundfile.read(SONG, dtype="float32")[0]] * 4)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            path = Path(folder) / f"song.{name}"
            try:
                write(path, song)
            except ImportError:
                continue  # M4A without the extra aac
            for kind, times_ms in zip(("random", "cue"), measure(path, model, jumps), strict=True):
                rows.append({"format": name, "target": kind, "seeks": jumps} | tail(times_ms))
    return Table(
        "Seeks, from the key press to the first separated sample",
        rows,
        f"At the output of the callback, in blocks of {BLOCK} samples; the latency of the device is not included.",
    )
