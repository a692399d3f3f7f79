"""`rtsep separate`: write the stems of audio files."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

from cyclopts import Parameter

from rtsep.cli.arguments import (
    Chunk,
    Compute,
    Flag,
    Format,
    InputFiles,
    Jobs,
    MaskExtension,
    Mix,
    ModelOrBest,
    OutputPlace,
    Seconds,
    Start,
    Stems,
    Tta,
)
from rtsep.errors import RtsepError, UsageError
from rtsep.separation.backends.stepper import MAX_CHUNK
from rtsep.system.allocator import keep_freed_memory
from rtsep.ui.console import say


def separate(
    files: InputFiles,
    /,
    *,
    out: Annotated[OutputPlace, Parameter(name=("--out", "-o"))],
    model: ModelOrBest = None,
    chunk: Chunk = MAX_CHUNK,
    compute: Compute = "auto",
    wiener: Flag = False,
    tta: Tta = None,
    merge_artifacts: Flag = False,
    mask_extension: MaskExtension = None,
    allow_damaged: Flag = False,
    start: Start = 0.0,
    seconds: Annotated[
        Seconds, Parameter(help="Length of the part, in seconds. Default: to the end of the song.")
    ] = None,
    template: str | None = None,
    format: Format = "wav",
    bits: int | None = None,
    bitrate: int | None = None,
    stems: Stems = (),
    two_stems: str | None = None,
    mix: Mix = (),
    clip: Literal["rescale", "clamp", "none"] | None = None,
    skip_existing: Flag = False,
    dry_run: Flag = False,
    watch: Flag = False,
    jobs: Jobs = 1,
    ray: str | None = None,
    json: Flag = False,
) -> int:
    """Write the stems of audio files.

    Stems are written to OUT/NAME/STEM.wav as 32-bit float, with the sample rate and length of the file. NAME is the
    file name without its extension; if several files have the same name, the second becomes "NAME (2)". Existing stems
    are replaced. The paths of the stems are printed. If a file fails, none of its stems are written. Tags and cover art
    are copied, with the stem in the title.

    The stems sum to the file, except for networks that output waveforms (HT Demucs), with --wiener, and above 11 kHz
    with --mask-extension zeros.

    FILES may be audio files, folders (with all folders in them), quoted patterns such as "music/**/*.flac", .m3u and
    .m3u8 playlists, and - for audio on stdin. What is not audio is skipped.

    A .json file is a batch job: "convert" lists files to separate, "copy" lists files that are instrumental already,
    "output" is a folder inside OUT.

    Parameters
    ----------
    out
        Output folder, or a URL such as s3://BUCKET/FOLDER (with the extra "s3", or another package for fsspec).
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
    start
        Separate each song from this second on. With --seconds, a part of it.
    template
        Path of each file inside OUT, made of {name}, {stem}, {ext} and the tags {artist}, {albumartist}, {album},
        {title}, {track}, {disc}, {year}, {genre}, {composer}. Default: {name}/{stem}.{ext}; {name}.{ext} for stem.mp4.
    format
        wav, flac, mp3, ogg (Vorbis), opus, m4a (AAC, with the extra "aac"), or stem.mp4: one file for DJ programs with
        the mixture, drums, bass, other and vocals (AAC, with the extra "aac").
    bits
        Bits a sample: 32 (float), 24 or 16 for wav, 24 or 16 for flac. Default: the first.
    bitrate
        Of mp3, ogg, opus, m4a or each stream of stem.mp4, in kbit/s. Default: 320, 256, 192, 256 and 256.
    stems
        Write these stems only, such as vocals,drums.
    two_stems
        Write this stem, and the sum of all others as no_STEM.
    mix
        Write mix, the sum of the stems at these gains in dB, instead of the stems: --mix vocals=-inf is a karaoke
        version. Repeatable. With --stems or --two-stems, both are written.
    clip
        What becomes of songs whose stems exceed full scale: rescale (all of a song's files, by the same gain), clamp
        (clip samples) or none. Default: none for 32-bit wav, which keeps them, else rescale.
    skip_existing
        Skip songs that are done: an earlier run with the same model, options and version of rtsep wrote all of their
        files, and the song is the same. So the same command, given again, resumes where it was stopped.
    dry_run
        Print the paths that would be written and how long that would take, by the speed measured now on this machine,
        and write nothing.
    watch
        Keep running: separate what is in the folders, then every song that arrives in them, as soon as it is complete.
        Implies --skip-existing. Control-C ends. Needs the extra "watch".
    jobs
        Songs at a time, each in a process with one thread; auto: as many as there are cores, one on a GPU.
    ray
        Separate on the Ray cluster at this address (auto, HOST:PORT), with the extra "ray": a song at a time for each
        of its cores, tried again if a node is lost. Its nodes see songs and OUT under the same paths.
    json
        Print one JSON object per event instead of paths: done, skipped or failed for each song, and progress.
    """
    from rtsep.batch.batch import Batch
    from rtsep.batch.naming import template_for
    from rtsep.batch.song_work import Settings
    from rtsep.cli.batch.estimates import with_estimates
    from rtsep.cli.batch.progress import BatchProgress
    from rtsep.cli.batch.run import report
    from rtsep.cli.batch.stdin import STDIN, save_stdin
    from rtsep.separation.default_model import default_model

    settings = Settings(
        model=model or default_model(compute, tell=say),
        chunk=chunk,
        wiener=wiener,
        tta=tta,
        merge_artifacts=merge_artifacts,
        mask_extension=mask_extension,
        allow_damaged=allow_damaged,
        start=start,
        seconds=seconds,
        stems=stems,
        two_stems=two_stems,
        mix=mix,
        format=format,
        bits=bits,
        bitrate=bitrate,
        clip=clip,
    )
    names = template_for(template, format)
    if watch:
        if dry_run:
            raise UsageError("--watch never ends, --dry-run writes nothing: choose one")
        batch = Batch([], out, settings, compute=compute, template=names, skip_existing=True, jobs=jobs, ray=ray)
        progress = BatchProgress(1, json)
        outcomes = batch.watch(files, progress.show)
        say(f"watching {', '.join(map(str, files))}; Ctrl-C ends")
        return report(outcomes, 1, progress, json=json)
    with ExitStack() as stack:
        if STDIN in files and not STDIN.exists():
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="rtsep-")))
            stdin = save_stdin(folder)
            files = tuple(stdin if file == STDIN else file for file in files)
        batch = Batch(
            files, out, settings, compute=compute, template=names, skip_existing=skip_existing, jobs=jobs, ray=ray
        )
        for note in batch.notes:
            say(note)
        if not batch.tasks:
            raise RtsepError("no audio files to separate")
        progress = BatchProgress(len(batch.tasks), json)
        if dry_run:
            return report(with_estimates(batch.plan(), batch.jobs, json), len(batch.tasks), progress, json=json)
        if batch.jobs == 1:
            keep_freed_memory()
        return report(batch.run(progress.show), len(batch.tasks), progress, json=json)
