"""Recording of mixture and stems to WAV files of equal length, by a thread that reads the rings.

It never holds up the writers of the rings. What they have overwritten already, and stems that were never separated, are
written as silence and counted as gaps.
"""

from __future__ import annotations

import os.path
import threading
from pathlib import Path

import numpy as np

from rtsep.audio.files.wav import AtomicWav
from rtsep.errors import RtsepError
from rtsep.shared.state import SharedState
from rtsep.timebase import SAMPLE_RATE

BLOCK = 8192
LAG = 2 * SAMPLE_RATE
"""Stems that are missing so many samples behind the end of the mixture are no longer waited for. The ring holds six
seconds."""
LOOK_S = 0.1


class Recorder:
    """Writes FOLDER/mixture.wav and FOLDER/STEM.wav, stems as they are before the faders.

    Args:
        shared: whose rings are recorded.
        folder: created if missing. RtsepError if one of the files exists already or can't be written.
        stems: names, in the order of the stem ring.
    """

    def __init__(self, shared: SharedState, folder: Path, stems: tuple[str, ...]) -> None:
        self._shared = shared
        names = ("mixture", *stems)
        for name in names:
            if os.path.exists(folder / f"{name}.wav"):
                raise RtsepError(f"{folder / name}.wav exists already; choose another folder")
        self._wavs = [AtomicWav(folder / f"{name}.wav", SAMPLE_RATE, 2) for name in names]
        try:
            for wav in self._wavs:
                wav.open()
        except BaseException:
            self._abort()
            raise
        self._mixture = np.zeros((shared.mixture.rows, BLOCK), np.float32)
        self._stems = np.zeros((shared.stem.rows, BLOCK), np.float32)
        self._epoch = -1
        self._position = 0
        self._in_gap = False
        self._closed = False
        self.gaps = 0
        self.failure: str | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtsep-recorder", daemon=True)

    @property
    def seconds(self) -> float:
        """Length of the recording so far."""
        return self._wavs[0].frames / SAMPLE_RATE

    def start(self, epoch: int, position: int) -> None:
        """Record from `position` of `epoch` on."""
        self._epoch, self._position = epoch, position
        self._thread.start()

    def close(self) -> None:
        """Complete the files and give them their names; a recording that never started leaves none.

        May be called twice.
        """
        if self._closed:
            return
        self._closed = True
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            if self.failure is None and self.seconds > 0:
                for wav in self._wavs:
                    wav.seal()
                for wav in self._wavs:
                    wav.commit()
        except RtsepError as error:
            self.failure = str(error)
        self._abort()

    def _abort(self) -> None:
        for wav in self._wavs:
            wav.abort()

    # -- the recorder's thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ending.wait(LOOK_S):
                self._record_until(None)
            self._record_until(self._shared.stem.end)
        except RtsepError as error:
            self.failure = str(error)

    def _record_until(self, last: int | None) -> None:
        """Write whole blocks that are complete or too old to be waited for; at the end everything up to `last`."""
        while True:
            mixture_end, stem = self._shared.mixture.end, self._shared.stem.header()
            ready = max(stem.end if stem.epoch == self._epoch else 0, mixture_end - LAG)
            count = min(BLOCK, (ready if last is None else min(last, mixture_end)) - self._position)
            if count < (BLOCK if last is None else 1):
                return
            self._write(count)

    def _write(self, count: int) -> None:
        mixture, stems = self._mixture[:, :count], self._stems[:, :count]
        whole = self._shared.mixture.read(self._position, mixture, self._epoch)
        if not whole:
            mixture[:] = 0.0
        whole = self._read_stems(stems) and whole
        if not whole and not self._in_gap:
            self.gaps += 1
        self._in_gap = not whole
        self._wavs[0].write(mixture)
        for number, wav in enumerate(self._wavs[1:]):
            wav.write(stems[2 * number : 2 * number + 2])
        self._position += count

    def _read_stems(self, out: np.ndarray) -> bool:
        """Fill `out` from the stem ring, with silence for what it doesn't have; returns whether it had everything."""
        out[:] = 0.0
        header = self._shared.stem.header()
        first = max(self._position, header.begin)
        last = min(self._position + out.shape[1], header.end)
        if header.epoch != self._epoch or first >= last:
            return False
        part = out[:, first - self._position : last - self._position]
        if not self._shared.stem.read(first, part, self._epoch):
            part[:] = 0.0
            return False
        return part.shape[1] == out.shape[1]
