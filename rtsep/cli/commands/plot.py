"""`rtsep plot`: a picture of what separation does to a song."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rtsep.cli.arguments import Chunk, Compute, Gains, ModelOrBest, Seconds, Start
from rtsep.errors import MissingPackage, UsageError
from rtsep.ui.console import put, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 1 << 16


def plot(
    file: Path,
    /,
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="The picture. Default: NAME.png here.")] = None,
    model: ModelOrBest = None,
    gain: Gains = (),
    start: Annotated[Start, Parameter(help="Position to start at, in seconds.")] = 0.0,
    seconds: Annotated[Seconds, Parameter(help="Length to draw. Default: to the end.")] = None,
    chunk: Annotated[Chunk, Parameter(help="Frames per network step, 1 to 32.")] = 32,
    compute: Compute = "auto",
) -> None:
    """Draw a song before and after separation: spectrograms, the mask of each stem, levels. Writes a PNG.

    "After" is the mix of the stems at their gains. A mask is the share of the song's power that a stem gets, by
    frequency and time. Needs the extra "plot".
    """
    import numpy as np

    from rtsep.audio.files.reader import Part, open_audio
    from rtsep.audio.files.resample import EngineReader
    from rtsep.dsp.spectrogram import BandEnergies, draw_separation
    from rtsep.player.faders import db_to_linear
    from rtsep.separation.default_model import default_model
    from rtsep.separation.load import load
    from rtsep.timebase import SAMPLE_RATE

    part = Part(start, seconds)
    open_audio(file).close()  # a wrong path is reported before the model is loaded

    def blocks() -> Iterator[NDArray[np.float32]]:
        with open_audio(file, allow_damaged=True, part=part) as opened:
            reader = EngineReader(opened)
            while (block := reader.read(BLOCK)).shape[1]:
                yield block

    separator = load(model or default_model(compute, tell=say), chunk=chunk, device=compute)
    for stem, _ in gain:
        if stem not in separator.stems:
            raise UsageError(f'unknown stem "{stem}"; this model has {", ".join(separator.stems)}')
    linear = dict.fromkeys(separator.stems, 1.0) | {stem: db_to_linear(gain_db) for stem, gain_db in gain}
    before, after = BandEnergies(SAMPLE_RATE), BandEnergies(SAMPLE_RATE)
    stems = {stem: BandEnergies(SAMPLE_RATE) for stem in separator.stems}

    def push(parts: dict[str, NDArray[np.float32]]) -> None:
        for stem, samples in parts.items():
            stems[stem].push(samples)
        after.push(np.sum([np.float32(linear[stem]) * samples for stem, samples in parts.items()], axis=0))

    if separator.learns:
        separator.learn(blocks())
    for block in blocks():
        before.push(block)
        push(separator.feed(block))
    push(separator.flush())
    changes = ", ".join(f"{stem} {gain_db:+g} dB" for stem, gain_db in gain) or "all faders at 0 dB"
    picture = Path(f"{file.stem}.png") if out is None else out
    if not draw_separation(picture, before, (f"after: {changes}", after), stems):
        raise MissingPackage("rtsep plot needs matplotlib, which is not installed: pip install 'rtsep[plot]'")
    put(str(picture))
