"""Stems appear together or not at all, wherever an interrupt falls."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.audio.files import wav
from rtsep.audio.files.reader import LARGEST_SAMPLE
from rtsep.errors import RtsepError
from rtsep.separation import song_files as split
from rtsep.separation import song_outputs
from rtsep.separation.song_files import split_file
from tests.audio.files.material import FORMATS, write


@contextmanager
def interrupted_at(step: int) -> Iterator[list[int]]:
    """KeyboardInterrupt at the `step`-th line, call or return of what makes files, in this thread.

    Yields a list of one number, the steps taken.
    """
    ours, pathlib = (wav.__file__, split.__file__, song_outputs.__file__), sys.modules["pathlib"].__file__
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
        split_file(song, tmp_path / "0" / "song", separator)
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


@pytest.mark.parametrize("form", ["wav", "ogg", "aiff", "caf"])
def test_a_file_without_samples_is_an_error(tmp_path: Path, constant_bundle: Callable[..., Path], form: str) -> None:
    song = write(tmp_path / f"song.{form}", np.zeros((0, 2)), 44100, **FORMATS[form])
    separator = rtsep.load(constant_bundle(vocals=0.25, other=0.75), device="cpu")
    with pytest.raises(RtsepError, match=r"song\.\w+ (has no samples|contains no readable audio)"):
        split_file(song, tmp_path / "out", separator)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("bad", "what"),
    [(np.nan, "is not a number"), (-np.inf, "is not a number"), (1e20, r"is 1e\+20"), (-3e38, r"is -3e\+38")],
)
def test_impossible_samples_are_the_files_fault(
    tmp_path: Path, constant_bundle: Callable[..., Path], bad: float, what: str
) -> None:
    samples = np.full((50_000, 2), 0.25, np.float32)
    samples[40_000, 1] = bad
    song = write(tmp_path / "song.wav", samples, 44100, subtype="FLOAT")
    separator = rtsep.load(constant_bundle(vocals=0.25, other=0.75), device="cpu")
    with pytest.raises(RtsepError, match=rf"song\.wav: the sample at 0\.907 s {what}"):
        split_file(song, tmp_path / "out", separator)
    assert not (tmp_path / "out").exists()
    result = split_file(song, tmp_path / "out", separator, allow_damaged=True)
    assert re.search(rf"the sample at 0\.907 s {what}.*; it is silent", result.notes[0])
    samples[40_000] = 0.0
    vocals, _ = soundfile.read(result.paths["vocals"], dtype="float32")
    np.testing.assert_allclose(vocals, 0.25 * samples, atol=1e-6)


def test_the_largest_samples_that_are_let_through_can_be_separated(tmp_path: Path, default_bundle: Path) -> None:
    samples = np.full((50_000, 2), 0.25, np.float32)
    samples[25_000] = samples[30_000, 0] = LARGEST_SAMPLE
    song = write(tmp_path / "song.wav", samples, 44100, subtype="FLOAT")
    result = split_file(song, tmp_path / "out", rtsep.load(default_bundle, device="cpu"))
    for path in result.paths.values():
        assert np.isfinite(soundfile.read(path)[0]).all()
