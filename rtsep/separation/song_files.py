"""One file into its stems, as a stream on two threads: whatever its length, memory stays the same."""

import contextlib
import os.path
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.reader import AudioReader, open_audio
from rtsep.audio.files.wav import AtomicWav
from rtsep.errors import RtsepError
from rtsep.separation.separator import Separator
from rtsep.separation.stem_stream import resampled_blocks, stem_blocks

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class SplitFile:
    """What was written: stem -> path; the length in samples at the file's own rate; lines worth saying."""

    paths: dict[str, Path]
    frames: int
    sample_rate: int
    notes: list[str]


def split_file(
    path: Path,
    folder: Path,
    separator: Separator,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    allow_damaged: bool = False,
    before_commit: Callable[[], object] = lambda: None,
) -> SplitFile:
    """Write `folder`/<stem>.wav: 32-bit float, at the file's own rate and exact length, mono for a mono file.

    `progress` is called with the samples done and in all (None while unknown). A separator that learns reads the file
    twice; it is left ready for the next one. All stems appear or none. Damage inside the file is silent in all stems,
    and a note. What `before_commit` raises when all is written leaves nothing of it, either.

    Raises RtsepError if the file is unreadable or empty, if a stem would replace the file itself, or if the disk is
    full. So it does for a file that ends too early or has impossible samples; with `allow_damaged` what there is is
    separated, and notes say what is missing.
    """
    check_not_replaced(path, folder, separator.stems)
    made = [place for place in (folder, *folder.parents) if not os.path.exists(place)]
    try:
        if separator.learns:
            separator.learn(_mixture(path, allow_damaged))
        with open_audio(path, allow_damaged=allow_damaged) as reader, ExitStack() as stack:
            _refuse_cut(reader, allow_damaged)
            channels = 1 if reader.channels == 1 else separator.channels
            rate = reader.sample_rate
            wavs = {stem: AtomicWav(folder / f"{stem}.wav", rate, channels) for stem in separator.stems}
            for wav in wavs.values():
                stack.callback(wav.abort)  # before it is there: an interrupt between the two would leave it
                wav.open()
            frames = 0
            for stems in stem_blocks(reader, separator, progress):
                for wav, samples in zip(wavs.values(), stems, strict=True):
                    wav.write(samples)
                frames += stems.shape[2]
            _refuse_cut(reader, allow_damaged)
            if frames == 0:
                raise RtsepError(f"{path} has no samples; nothing was written for it")
            # All of them must be safe on the disk before the first one gets its name.
            for wav in wavs.values():
                wav.seal()
            before_commit()
            # Signals interrupt this thread only: in another one all of them get their names, or none.
            with ThreadPoolExecutor(1, thread_name_prefix="rtsep-commit") as committing:
                committing.submit(_commit, wavs.values()).result()
            notes = [*reader.notes, *([reader.truncated] if reader.truncated else [])]
            return SplitFile({stem: wav.path for stem, wav in wavs.items()}, frames, rate, notes)
    except BaseException:
        separator.reset()
        for place in made:
            with contextlib.suppress(OSError):  # not empty: somebody else's, or an earlier track
                place.rmdir()
        raise


def _mixture(path: Path, allow_damaged: bool) -> Iterator[Float32]:
    """A file as the separator reads it."""
    with open_audio(path, allow_damaged=allow_damaged) as reader:
        yield from resampled_blocks(reader)


def check_not_replaced(song: Path, folder: Path, stems: Iterable[str]) -> None:
    """Raise RtsepError if one of the stems in `folder` would replace the song itself."""
    for output in (folder / f"{stem}.wav" for stem in stems):
        if os.path.exists(output) and os.path.exists(song) and output.samefile(song):
            raise RtsepError(
                f"{song} would be replaced by its own stem {output}; choose another folder with rtsep separate --out"
            )


def _refuse_cut(reader: AudioReader, allow_damaged: bool) -> None:
    if reader.truncated and not allow_damaged:
        raise RtsepError(f"{reader.truncated}; nothing was written for it. --allow-damaged separates what there is")


def _commit(wavs: Iterable[AtomicWav]) -> None:
    for wav in wavs:
        wav.commit()
