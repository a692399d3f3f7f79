"""Stems appear together or not at all, wherever an interrupt falls."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import soundfile

import rtsep
from rtsep.audio.files import wav
from rtsep.separation import song_files as split
from rtsep.separation.song_files import split_file


@contextmanager
def interrupted_at(step: int) -> Iterator[list[int]]:
    """KeyboardInterrupt at the `step`-th line, call or return of what makes files, in this thread.

    Yields a list of one number, the steps taken.
    """
    ours, pathlib = (wav.__file__, split.__file__), sys.modules["pathlib"].__file__
    taken = [0]

    def trace(frame: FrameType, event: str, argument: object) -> Callable[..., object] | None:
        file = frame.f_code.co_filename
        if file not in (*ours, pathlib):
            return None
        if file != pathlib or event == "return":
            taken[0] += 1
            if taken[0] == step:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield taken
    finally:
        sys.settrace(before)


def test_an_interrupt_anywhere_leaves_all_stems_or_nothing(
    tmp_path: Path, constant_bundle: Callable[..., Path]
) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, np.full((5000, 2), 0.25, np.float32), 44100, subtype="FLOAT")
    separator = rtsep.load(constant_bundle(vocals=0.25, other=0.75), device="cpu")
    stems = {f"{stem}.wav" for stem in separator.stems}
    with interrupted_at(0) as taken:
        split_file(song, tmp_path / "all", separator)
    outcomes: set[int] = set()
    for step in range(1, taken[0] + 1):
        out = tmp_path / str(step) / "song"
        try:
            with interrupted_at(step):
                split_file(song, out, separator)
        except KeyboardInterrupt:
            found = {path.name for path in out.iterdir()} if out.exists() else set()
            assert found in (set(), stems), step
            assert found or not out.parent.exists(), step
            outcomes.add(len(found))
    assert outcomes == {0, len(stems)}
