"""`rtsep train`: find the weights of a recipe."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rtsep.cli.arguments import Compute, Flag
from rtsep.cli.progress import ProgressLine
from rtsep.errors import RtsepError, UsageError

if TYPE_CHECKING:
    import torch

    from rtsep.train.loop import Trainer

LINES_S = 60.0
"""Where nobody watches a terminal, a line so often."""


def train(
    recipe: Path,
    *,
    data: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="")],
    out: Annotated[Path | None, Parameter(help="Folder of the run. Default: runs/NAME.")] = None,
    resume: Flag = False,
    init: Annotated[str | None, Parameter(help="Model whose weights a new run starts from.")] = None,
    compute: Compute = "auto",
    threads: Annotated[int, Parameter(help="CPU threads.")] = 1,
    tensorboard: Flag = False,
) -> None:
    """Train a recipe.

    OUT gets last.pt and best.pt (to go on from; the best by the held-out songs), bundle and best (the same weights, to
    be played), log.jsonl, and samples: a clip as it sounds and looks after each validation. Several processes share the
    batches: torchrun --nproc-per-node N -m rtsep.train RECIPE ...

    Parameters
    ----------
    recipe
        A recipe.toml.
    data
        Folders in each of which the recipe's training folders are looked for.
    resume
        Go on from the checkpoint in OUT; begin where there is none.
    tensorboard
        Write TensorBoard's files to OUT as well.
    """
    if threads < 1:
        raise UsageError(f"--threads {threads}: expected 1 or more")
    if not data:
        raise UsageError("--data: expected a folder or several")
    if tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise RtsepError('--tensorboard: the package is missing: pip install "rtsep[tensorboard]"')
    device = _device(compute)
    import torch

    from rtsep.bundle import find_bundle
    from rtsep.train.loop import Trainer

    torch.set_num_threads(threads)
    folder = out or Path("runs") / recipe.resolve().parent.name
    bundle = find_bundle(init) if init else None
    line = ProgressLine(lines_s=LINES_S)
    trainer = Trainer(
        *(recipe, data, folder),
        resume=resume,
        init=bundle,
        device=device,
        tensorboard=tensorboard,
        progress=partial(line.show, "decoding songs"),
    )
    line.clear()
    _follow(trainer, folder, device)


def _tell_data(trainer: Trainer) -> None:
    training, *held_out = trainer.found
    print(training, file=sys.stderr)
    for report in held_out:
        if any(of.skipped for of in report.sources):
            print(f"held out:\n{report}", file=sys.stderr)


def _device(compute: str) -> torch.device:
    """Of this process: under torchrun each takes the CUDA device of its own number."""
    from rtsep.engine.compute import choose_compute

    device = choose_compute(compute)
    number = os.environ.get("LOCAL_RANK")
    if number is None or device.type == "cpu":
        return device
    if ":" in compute:
        raise UsageError(f"--compute {compute}: each of several processes takes a device of its own; say cuda")
    return choose_compute(f"cuda:{number}")


def _follow(trainer: Trainer, folder: Path, device: torch.device) -> None:
    """Train to the end; process 0 tells how it goes."""
    last, tells = trainer.recipe.train.steps, trainer.processes.first
    if tells:
        _tell_data(trainer)
        place = f"step {trainer.step} of {last}" if trainer.step else f"{last} steps"
        share = f", {trainer.processes.count} processes" if trainer.processes.count > 1 else ""
        print(f"rtsep: {place} into {folder} on {device}{share}", file=sys.stderr, flush=True)
    line = ProgressLine(trainer.step, LINES_S)
    for report in trainer.run():
        step = int(report["step"])
        if not tells:
            continue
        if "loss" in report:
            said = (
                f"step {step}/{last}  loss {report['loss']:.4f}  rate {report['rate']:.2e}  "
                f"{report['step_s']:.2f} s a step, {report['data_s'] / report['step_s']:.0%} of it for data"
            )
            line.show(said, step, last)
        else:
            line.clear()
            scores = (
                f"{name.partition('/')[2]} {value:.2f}"
                for name, value in report.items()
                if name.startswith("over_gain_db/")
            )
            print(
                f"step {step}: dB over the best gain: {', '.join(scores) or 'nothing sounds'}",
                file=sys.stderr,
                flush=True,
            )
    if tells:
        line.clear()
        print(folder / "bundle")
