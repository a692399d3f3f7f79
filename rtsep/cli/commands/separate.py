"""`rtsep separate`: write the stems of audio files."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rtsep.cli.arguments import Chunk, Compute, Files, Flag, MaskExtension, Model, OutputFolder, Tta
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.system.allocator import keep_freed_memory

if TYPE_CHECKING:
    from rtsep.cli.batch.run import Progress, Written
    from rtsep.cli.batch.tasks import Task
    from rtsep.separation.separator import Separator


def separate(
    files: Files,
    /,
    *,
    out: Annotated[OutputFolder, Parameter(name=("--out", "-o"))],
    model: Model = None,
    chunk: Chunk = MAX_CHUNK,
    compute: Compute = "auto",
    wiener: Flag = False,
    tta: Tta = None,
    merge_artifacts: Flag = False,
    mask_extension: MaskExtension = None,
    allow_damaged: Flag = False,
    json: Flag = False,
) -> int:
    """Write the stems of audio files.

    Stems are written to OUT/TRACK/STEM.wav as 32-bit float, with the sample rate and length of the file. TRACK is the
    file name without its extension; if several files have the same name, the second becomes "NAME (2)". Existing stems
    are replaced. The paths of the stems are printed. If a file fails, none of its stems are written.

    The stems sum to the file, except for networks that output waveforms (HT Demucs), with --wiener, and above 11 kHz
    with --mask-extension zeros.

    A .json file is a batch job: "convert" lists files to separate, "copy" lists files that are instrumental already,
    "output" is a folder inside OUT.

    Parameters
    ----------
    out
        Output folder.
    chunk
        Frames per network step, 1 to 32.
    wiener
        Apply a multichannel Wiener filter, which also uses the stereo position of the stems. Reads each file twice.
    tta
        Test-time augmentation for networks of fixed windows: average with windows shifted by half of what each keeps
        (shifted), or by half a window both ways (sliding).
    merge_artifacts
        For vocal removers: where the vocals pause for long, the instrumental is the song itself.
    allow_damaged
        Separate what there is of a file that ends too early, and silence impossible samples, instead of refusing it;
        notes say what is missing. Damage inside a file is silent and noted in any case.
    json
        Print one JSON object per file instead of paths.
    """
    from rtsep.cli.batch.run import run_tasks
    from rtsep.cli.batch.tasks import plan_tasks

    def load_separator() -> Separator:
        from rtsep.separation.load import load

        return load(
            model,
            chunk=chunk,
            device=compute,
            wiener=wiener,
            tta=tta,
            merge_artifacts=merge_artifacts,
            mask_extension=mask_extension,
        )

    keep_freed_memory()
    write = partial(_write, allow_damaged=allow_damaged)
    return run_tasks(plan_tasks(files, out), load_separator, write, json=json)


def _write(separator: Separator, task: Task, progress: Progress, allow_damaged: bool) -> Written:
    """Separate one song."""
    from rtsep.cli.batch.run import Written
    from rtsep.separation.song_files import split_file

    started_s = time.perf_counter()
    result = split_file(task.song, task.folder, separator, progress, allow_damaged)
    seconds, elapsed_s = result.frames / result.sample_rate, time.perf_counter() - started_s
    entry = {
        "stems": {stem: str(path) for stem, path in result.paths.items()},
        "sample_rate": result.sample_rate,
        "frames": result.frames,
        "seconds": round(seconds, 3),
        "elapsed_s": round(elapsed_s, 3),
        "times_realtime": round(seconds / elapsed_s, 2),
        "notes": result.notes,
    }
    return Written(list(result.paths.values()), entry, result.notes)
