"""What `rtsep play` does where there is no sound device: the stems as files, and a picture of before and after."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.reader import AudioReader, open_audio
from rtsep.audio.files.resample import EngineReader
from rtsep.audio.files.wav import AtomicWav
from rtsep.dsp.spectrogram import BandEnergies, draw
from rtsep.errors import RtsepError, UsageError
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.separation.load import load
from rtsep.separation.song_files import split_file
from rtsep.timebase import SAMPLE_RATE

BLOCK = 1 << 16


def render(
    file: Path,
    folder: Path,
    *,
    model: str | None,
    gains: Sequence[tuple[str, float]],
    chunk: int | None,
    compute: str,
    start_s: float = 0.0,
    seconds: float | None = None,
) -> list[Path]:
    """Write `folder`/<track>/<stem>.wav and before-after.png: the song, and the mix of its stems at `gains` (dB).

    Of a part only, with `start_s` or `seconds`. Returns the paths written. The picture needs matplotlib; without it a
    line on stderr says so. Raises RtsepError for a file, part or model that is not there, UsageError for an unknown
    stem.
    """
    with ExitStack() as stack:
        reader = stack.enter_context(open_audio(file))  # first of all: what is most likely wrong costs no waiting
        target = folder / file.stem
        if start_s > 0 or seconds is not None:
            for note in reader.notes:
                print(f"rtsep: {note}", file=sys.stderr)
            part = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "part.wav"
            _cut(reader, part, start_s, seconds)
            file = part
        return _render(file, target, model=model, gains=gains, chunk=chunk, compute=compute)


def _cut(reader: AudioReader, path: Path, start_s: float, seconds: float | None) -> None:
    """Write a part of a file as a WAV, at its own rate. RtsepError if it is damaged or has no such part."""
    rate = reader.sample_rate
    channels = min(reader.channels, 2)
    reader.seek(round(start_s * rate))
    wanted = None if seconds is None else round(seconds * rate)
    with AtomicWav(path, rate, channels) as wav:
        while wanted is None or wav.frames < wanted:
            block = reader.read(BLOCK if wanted is None else min(BLOCK, wanted - wav.frames))
            if block.shape[1] == 0:
                break
            wav.write(block[:channels])
        if reader.truncated:
            raise RtsepError(f"{reader.truncated}; nothing was written for it")
        if wav.frames == 0:
            length = "" if reader.frames is None else f" is only {reader.frames / rate:.2f} s long"
            raise RtsepError(f"--start {start_s:g}: {reader.path}{length or ' ends before'}")
        wav.commit()


def _render(
    file: Path,
    target: Path,
    *,
    model: str | None,
    gains: Sequence[tuple[str, float]],
    chunk: int | None,
    compute: str,
) -> list[Path]:
    separator = load(model, chunk=MAX_CHUNK if chunk is None else chunk, device=compute)
    linear = dict.fromkeys(separator.stems, 1.0)
    for stem, gain_db in gains:
        if stem not in linear:
            raise UsageError(f'no stem is called "{stem}"; this model has {", ".join(linear)}')
        linear[stem] = 10.0 ** (gain_db / 20.0)
    result = split_file(file, target, separator)
    for note in result.notes:
        print(f"rtsep: {note}", file=sys.stderr)
    before, after = BandEnergies(SAMPLE_RATE), BandEnergies(SAMPLE_RATE)
    for block in _mixed({file: 1.0}):
        before.push(block)
    for block in _mixed({path: linear[stem] for stem, path in result.paths.items()}):
        after.push(block)
    picture = target / "before-after.png"
    changed = ", ".join(f"{stem} {gain_db:+g} dB" for stem, gain_db in gains) or "all faders at 0 dB"
    written = list(result.paths.values())
    if draw(picture, [("before", before), (f"after: {changed}", after)]):
        written.append(picture)
    else:
        print("rtsep: no picture, matplotlib is not installed (pip install matplotlib)", file=sys.stderr)
    return written


def _mixed(gains: Mapping[Path, float]) -> Iterator[NDArray[np.float32]]:
    """Files of one length added up with linear gains, block by block, (2, n) at 44 100 Hz."""
    with ExitStack() as stack:
        readers = {path: EngineReader(stack.enter_context(open_audio(path))) for path in gains}
        while True:
            blocks = [np.float32(gain) * readers[path].read(BLOCK) for path, gain in gains.items()]
            if blocks[0].shape[1] == 0:
                return
            yield np.sum(blocks, axis=0)
