"""What `rtsep play` does without a sound device: write the stems, and a picture of the song before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.reader import WHOLE, Part, open_audio
from rtsep.audio.files.resample import EngineReader
from rtsep.batch.outcome import Once, Progress, Written, one_by_one
from rtsep.batch.tasks import Task, track_names
from rtsep.cli.batch.progress import BatchProgress
from rtsep.cli.batch.run import report
from rtsep.cli.session.options import PlayOptions
from rtsep.dsp.spectrogram import BandEnergies, draw
from rtsep.errors import UsageError
from rtsep.player.faders import db_to_linear
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.separation.default_model import default_model
from rtsep.separation.load import load
from rtsep.separation.separator import Separator
from rtsep.separation.song_files import split_file
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
        part = Part(options.start if task is tasks[0] else 0.0, options.seconds)
        return _write(separator(), task, options.gain, part, progress)

    progress = BatchProgress(len(tasks), options.json)
    return report(one_by_one(tasks, work, progress.show), len(tasks), progress, json=options.json)


def _write(
    separator: Separator, task: Task, gains: Sequence[tuple[str, float]], part: Part, progress: Progress
) -> Written:
    """Separate one song, or a part of it, and draw the picture."""
    result = split_file(task.song, task.folder, separator, progress, allow_damaged=True, part=part)
    paths, notes = list(result.paths.values()), list(result.notes)
    picture = task.folder / PICTURE
    if _draw(picture, task.song, part, result.paths, gains):
        paths.append(picture)
    else:
        notes.append("no picture was drawn: matplotlib is not installed (pip install matplotlib)")
    return Written(paths, {"written": [str(path) for path in paths]}, notes)


def _draw(picture: Path, song: Path, part: Part, stems: Mapping[str, Path], gains: Sequence[tuple[str, float]]) -> bool:
    """Draw spectrograms of a part of the song and of the mix of its stems at `gains` (dB). False without matplotlib."""
    linear = dict.fromkeys(stems, 1.0) | {stem: db_to_linear(gain_db) for stem, gain_db in gains}
    before, after = BandEnergies(SAMPLE_RATE), BandEnergies(SAMPLE_RATE)
    for block in _mixed({song: 1.0}, part):
        before.push(block)
    for block in _mixed({path: linear[stem] for stem, path in stems.items()}):
        after.push(block)
    changes = ", ".join(f"{stem} {gain_db:+g} dB" for stem, gain_db in gains) or "all faders at 0 dB"
    return draw(picture, [("before", before), (f"after: {changes}", after)])


def _mixed(gains: Mapping[Path, float], part: Part = WHOLE) -> Iterator[NDArray[np.float32]]:
    """The sum of files of one length, with linear gains, in blocks (2, n) at 44 100 Hz."""
    with ExitStack() as stack:
        opened = {path: stack.enter_context(open_audio(path, allow_damaged=True, part=part)) for path in gains}
        readers = {path: EngineReader(reader) for path, reader in opened.items()}
        while True:
            blocks = [np.float32(gain) * readers[path].read(BLOCK) for path, gain in gains.items()]
            if blocks[0].shape[1] == 0:
                return
            yield np.sum(blocks, axis=0)
