"""One file into its stems, as a stream on two threads: whatever its length, memory stays the same."""

import contextlib
import os.path
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.reader import WHOLE, AudioReader, Part, open_audio
from rtsep.audio.files.tags import Tags
from rtsep.errors import RtsepError
from rtsep.separation.separator import Separator
from rtsep.separation.song_outputs import Form, Mix, OutputFiles, choose_mixes
from rtsep.separation.stem_stream import resampled_blocks, stem_blocks

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class SplitFile:
    """What was written: name -> path; the length in samples at the file's own rate; lines worth saying."""

    paths: dict[str, Path]
    frames: int
    sample_rate: int
    notes: list[str]


def split_file(
    path: Path,
    folder: Path,
    separator: Separator,
    progress: Callable[[int, int | None], object] = lambda done, total: None,
    allow_damaged: bool = False,
    part: Part = WHOLE,
) -> SplitFile:
    """Write `folder`/<stem>.wav for all stems, 32-bit float: see `write_song`."""
    mixes = choose_mixes(separator.stems)
    outputs = {stem: folder / f"{stem}.wav" for stem in separator.stems}
    return write_song(path, outputs, mixes, separator, progress=progress, allow_damaged=allow_damaged, part=part)


def write_song(
    path: Path,
    outputs: Mapping[str, Path],
    mixes: Sequence[Mix],
    separator: Separator,
    *,
    form: Form | None = None,
    tags: Mapping[str, Tags] | None = None,
    progress: Callable[[int, int | None], object] = lambda done, total: None,
    allow_damaged: bool = False,
    part: Part = WHOLE,
    before_commit: Callable[[], object] = lambda: None,
) -> SplitFile:
    """Write mixes of a file's stems, at the file's own rate (if the format has it) and exact length, mono for mono.

    Of a `part`, it is as if the file were that part alone.

    `outputs` says where each of `mixes` goes (in a format that holds them all: where they go together), `tags` what is
    written into it. `progress` is called with the samples done and in all (None while unknown). A separator that learns
    reads the file twice; it is left ready for the next one. All files appear or none. Damage inside the file is silent
    in all stems, and a note. What `before_commit` raises when all is written leaves nothing of it, either.

    Raises RtsepError if the file is unreadable or empty, if an output would replace the file itself, or if the disk is
    full. So it does for a file that ends too early or has impossible samples; with `allow_damaged` what there is is
    separated, and notes say what is missing.
    """
    check_not_replaced(path, outputs.values())
    folders = {
        place for folder in {output.parent for output in outputs.values()} for place in (folder, *folder.parents)
    }
    made = sorted((place for place in folders if not os.path.exists(place)), key=str, reverse=True)  # inner ones first
    try:
        if separator.learns:
            separator.learn(_mixture(path, allow_damaged, part))
        with open_audio(path, allow_damaged=allow_damaged, part=part) as reader, ExitStack() as stack:
            _refuse_cut(reader, allow_damaged)
            channels = 1 if reader.channels == 1 else separator.channels
            names = [mix.name for mix in mixes]
            files = OutputFiles(outputs, names, reader.sample_rate, channels, form or Form(), tags or {})
            stack.callback(files.abort)  # before they are there: an interrupt between the two would leave them
            files.open()
            frames = 0
            for stems in stem_blocks(reader, separator, progress):
                files.write([mix.of(stems) for mix in mixes])
                frames += stems.shape[2]
            _refuse_cut(reader, allow_damaged)
            if frames == 0:
                raise RtsepError(f"{path} has no samples; nothing was written for it")
            # All of them must be safe on the disk before the first one gets its name.
            files.seal()
            before_commit()
            files.commit()
            notes = [*reader.notes, *([reader.truncated] if reader.truncated else []), *files.notes]
            return SplitFile(files.paths, frames, reader.sample_rate, notes)
    except BaseException:
        separator.reset()
        for place in made:
            with contextlib.suppress(OSError):  # not empty: somebody else's, or an earlier track
                place.rmdir()
        raise


def _mixture(path: Path, allow_damaged: bool, part: Part) -> Iterator[Float32]:
    """A file as the separator reads it."""
    with open_audio(path, allow_damaged=allow_damaged, part=part) as reader:
        yield from resampled_blocks(reader)


def check_not_replaced(song: Path, outputs: Iterable[Path]) -> None:
    """Raise RtsepError if one of the outputs would replace the song itself."""
    for output in outputs:
        if os.path.exists(output) and os.path.exists(song) and output.samefile(song):
            raise RtsepError(
                f"{song} would be replaced by its own stem {output}; choose another folder with rtsep separate --out"
            )


def _refuse_cut(reader: AudioReader, allow_damaged: bool) -> None:
    if reader.truncated and not allow_damaged:
        raise RtsepError(f"{reader.truncated}; nothing was written for it. --allow-damaged separates what there is")
