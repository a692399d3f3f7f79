"""`rtsep train`: find the weights of a recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rtsep.errors import UsageError


def train(
    recipe: Path,
    *,
    data: Annotated[
        list[Path],
        Parameter(consume_multiple=True, help="folders in which the recipe's training folders are looked for"),
    ],
    out: Annotated[Path | None, Parameter(help="folder of the run, default runs/NAME")] = None,
    init: Annotated[str | None, Parameter(help="bundle whose weights a new run starts from")] = None,
    threads: Annotated[int, Parameter(help="CPU threads")] = 1,
) -> None:
    """Train a recipe; goes on where a run of the same folder stopped.

    Parameters
    ----------
    recipe
        A recipe.toml.
    """
    if threads < 1:
        raise UsageError(f"--threads {threads}: expected 1 or more")
    import torch

    from rtsep.bundle import find_bundle
    from rtsep.train.loop import Trainer

    torch.set_num_threads(threads)
    folder = out or Path("runs") / recipe.resolve().parent.name
    trainer = Trainer(recipe, data, folder, find_bundle(init) if init else None)
    print(trainer.report, file=sys.stderr)
    last = trainer.recipe.train.steps
    for report in trainer.run():
        left_minutes = (last - report["step"]) * report["step_s"] / 60
        print(
            f"step {report['step']:.0f}/{last}  loss {report['loss']:.4f}  rate {report['rate']:.2e}  "
            f"{report['step_s']:.2f} s a step, {left_minutes:.0f} min left",
            file=sys.stderr,
            flush=True,
        )
