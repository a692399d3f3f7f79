"""What `rtsep play` does without a sound device: write the stems, and a picture of the song before and after."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.reader import AudioReader, open_audio
from rtsep.audio.files.resample import EngineReader
from rtsep.audio.files.wav import AtomicWav
from rtsep.batch.outcome import Once, Progress, Written
from rtsep.batch.tasks import Task, track_names
from rtsep.cli.batch.run import run_tasks
from rtsep.cli.session.options import PlayOptions
from rtsep.dsp.spectrogram import BandEnergies, draw
from rtsep.errors import RtsepError, UsageError
from rtsep.player.faders import db_to_linear
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.separation.default_model import default_model
from rtsep.separation.load import load
from rtsep.separation.separator import Separator
from rtsep.separation.song_files import check_not_replaced, split_file
from rtsep.timebase import SAMPLE_RATE
from rtsep.ui.console import say

OUT = Path("out")
PICTURE = "before-after.png"
BLOCK = 1 << 16


def render(files: Sequence[Path], options: PlayOptions) -> int:
    """Write out/TRACK/STEM.wav and before-after.png for each file: the song, and the mix of its stems at their gains.

    `options.start` is for the first file, `options.seconds` for each. Returns the exit code. Raises RtsepError for a
    model that cannot be loaded, UsageError for an unknown stem.
    """
    folders = (OUT / track for track in track_names(files))
    tasks = [Task(file, {"picture": folder / PICTURE}) for file, folder in zip(files, folders, strict=True)]

    def load_separator() -> Separator:
        chunk = MAX_CHUNK if options.chunk is None else options.chunk
        model = options.model or default_model(options.compute, tell=say)
        separator = load(model, chunk=chunk, device=options.compute, mask_extension=options.mask_extension)
        for stem, _ in options.gain:
            if stem not in separator.stems:
                raise UsageError(f'unknown stem "{stem}"; this model has {", ".join(separator.stems)}')
        return separator

    separator = Once(load_separator)

    def work(task: Task, progress: Progress) -> Written:
        open_audio(task.song).close()  # a wrong path is reported before the model is loaded
        start_s = options.start if task is tasks[0] else 0.0
        return _write(separator(), task, options.gain, start_s, options.seconds, progress)

    return run_tasks(tasks, work, json=options.json)


def _write(
    separator: Separator,
    task: Task,
    gains: Sequence[tuple[str, float]],
    start_s: float,
    seconds: float | None,
    progress: Progress,
) -> Written:
    """Separate one song, or a part of it, and draw the picture."""
    with ExitStack() as stack:
        song, notes = task.song, list[str]()
        if start_s > 0 or seconds is not None:
            check_not_replaced(song, [task.folder / f"{stem}.wav" for stem in separator.stems])
            reader = stack.enter_context(open_audio(song, allow_damaged=True))
            song = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "part.wav"
            _cut(reader, song, start_s, seconds)
            notes += [*reader.notes, *([reader.truncated] if reader.truncated else [])]
        result = split_file(song, task.folder, separator, progress, allow_damaged=True)
        paths, notes = list(result.paths.values()), notes + result.notes
        picture = task.folder / PICTURE
        if _draw(picture, song, result.paths, gains):
            paths.append(picture)
        else:
            notes.append("no picture was drawn: matplotlib is not installed (pip install matplotlib)")
    return Written(paths, {"written": [str(path) for path in paths]}, notes)


def _cut(reader: AudioReader, path: Path, start_s: float, seconds: float | None) -> None:
    """Write a part of a file as a WAV with the same sample rate. RtsepError if it has no such part."""
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
        if wav.frames == 0:
            length = "" if reader.frames is None else f" is only {reader.frames / rate:.2f} s long"
            raise RtsepError(f"--start {start_s:g}: {reader.path}{length or ' ends before'}")
        wav.commit()


def _draw(picture: Path, song: Path, stems: Mapping[str, Path], gains: Sequence[tuple[str, float]]) -> bool:
    """Draw spectrograms of the song and of the mix of its stems at `gains` (dB). False without matplotlib."""
    linear = dict.fromkeys(stems, 1.0) | {stem: db_to_linear(gain_db) for stem, gain_db in gains}
    before, after = BandEnergies(SAMPLE_RATE), BandEnergies(SAMPLE_RATE)
    for block in _mixed({song: 1.0}):
        before.push(block)
    for block in _mixed({path: linear[stem] for stem, path in stems.items()}):
        after.push(block)
    changes = ", ".join(f"{stem} {gain_db:+g} dB" for stem, gain_db in gains) or "all faders at 0 dB"
    return draw(picture, [("before", before), (f"after: {changes}", after)])


def _mixed(gains: Mapping[Path, float]) -> Iterator[NDArray[np.float32]]:
    """The sum of files of one length, with linear gains, in blocks (2, n) at 44 100 Hz."""
    with ExitStack() as stack:
        readers = {path: EngineReader(stack.enter_context(open_audio(path, allow_damaged=True))) for path in gains}
        while True:
            blocks = [np.float32(gain) * readers[path].read(BLOCK) for path, gain in gains.items()]
            if blocks[0].shape[1] == 0:
                return
            yield np.sum(blocks, axis=0)
