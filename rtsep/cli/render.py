"""What `rtsep play` does where there is no sound device: the stems as files, and a picture of before and after."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files import open_audio
from rtsep.audio.resample import ENGINE_RATE, EngineReader
from rtsep.cli.spectrogram import BandEnergies, draw
from rtsep.cli.split import split_file
from rtsep.engine.options import MAX_CHUNK
from rtsep.engine.separator import load
from rtsep.errors import UsageError

BLOCK = 1 << 16


def render(
    file: Path,
    folder: Path,
    *,
    model: str | None,
    gains: Sequence[tuple[str, float]],
    chunk: int | None,
    compute: str,
) -> list[Path]:
    """Write `folder`/<track>/<stem>.wav and before-after.png: the song, and the mix of its stems at `gains`
    (dB).

    Returns the paths written. The picture needs matplotlib; without it a line on stderr says so. Raises
    RtsepError for a file or model that is not there, UsageError for an unknown stem.
    """
    separator = load(model, MAX_CHUNK if chunk is None else chunk, compute)
    linear = dict.fromkeys(separator.stems, 1.0)
    for stem, gain_db in gains:
        if stem not in linear:
            raise UsageError(f'no stem is called "{stem}"; this model has {", ".join(linear)}')
        linear[stem] = 10.0 ** (gain_db / 20.0)
    target = folder / file.stem
    result = split_file(file, target, separator)
    for note in result.notes:
        print(f"rtsep: {note}", file=sys.stderr)
    before, after = BandEnergies(ENGINE_RATE), BandEnergies(ENGINE_RATE)
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
