"""`rtsep train`: find the weights of a recipe."""

from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rtsep.cli.arguments import Compute, Flag
from rtsep.cli.output.progress_line import ProgressLine
from rtsep.errors import RtsepError, UsageError
from rtsep.system.allocator import keep_freed_memory
from rtsep.system.soft_stop import soft_stop

if TYPE_CHECKING:
    import torch

    from rtsep.train.run.loop import Trainer
    from rtsep.train.run.run_log import Report

SCORE = "over_gain_db/"
LINES_S = 60.0
"""Where nobody watches a terminal, a line so often."""
STOPPING = "rtsep: stopping after this step, with a checkpoint; control-C does not wait for it"


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
        Go on from the checkpoint in OUT; begin where there is none. Control-C writes one before it ends the run,
        pressed twice it does not.
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
    from rtsep.train.run.loop import Trainer

    torch.set_num_threads(threads)
    keep_freed_memory()
    folder = out or Path("runs") / recipe.resolve().parent.name
    bundle = find_bundle(init) if init else None
    with ProgressLine(lines_s=LINES_S) as line:
        trainer = Trainer(
            *(recipe, data, folder),
            resume=resume,
            init=bundle,
            device=device,
            tensorboard=tensorboard,
            progress=partial(line.show, "decoding songs"),
        )
    with soft_stop(trainer.stop, STOPPING if trainer.processes.first else ""):
        _follow(trainer, folder, device)


def _device(compute: str) -> torch.device:
    """Of this process: under torchrun each takes the CUDA device of its own number."""
    from rtsep.separation.backends.pytorch import choose_compute

    device = choose_compute(compute)
    number = os.environ.get("LOCAL_RANK")
    if number is None or device.type == "cpu":
        return device
    if ":" in compute:
        raise UsageError(f"--compute {compute}: each of several processes takes a device of its own; say cuda")
    return choose_compute(f"cuda:{number}")


def _follow(trainer: Trainer, folder: Path, device: torch.device) -> None:
    """Train to the end; process 0 tells how it goes."""
    last = trainer.recipe.train.steps
    if not trainer.processes.first:
        for _ in trainer.run():
            pass
        return
    _tell_data(trainer)
    place = f"step {trainer.step} of {last}" if trainer.step else f"{last} steps"
    share = f", {trainer.processes.count} processes" if trainer.processes.count > 1 else ""
    _tell(f"rtsep: {place} into {folder} on {device}{share}")
    with ProgressLine(trainer.step, LINES_S) as line:
        for report in trainer.run():
            step = int(report["step"])
            if "loss" in report:
                said = (
                    f"step {step}/{last}  loss {report['loss']:.4f}  rate {report['rate']:.2e}  "
                    f"{report['step_s']:.2f} s a step, {report['data_s'] / report['step_s']:.0%} of it for data"
                )
                line.show(said, step, last)
            else:
                line.clear()
                _tell(f"step {step}: dB over the best gain: {_scores(report) or 'nothing sounds'}")
    if trainer.step < last:
        _tell(f"rtsep: stopped at step {trainer.step} of {last}; go on with --resume")
    else:
        print(folder / "bundle")


def _tell_data(trainer: Trainer) -> None:
    training, *held_out = trainer.found
    _tell(str(training))
    for report in held_out:
        if any(of.skipped for of in report.sources):
            _tell(f"held out:\n{report}")


def _scores(report: Report) -> str:
    """`vocals 5.21, instrumental 3.30`."""
    scores = {name.removeprefix(SCORE): value for name, value in report.items() if name.startswith(SCORE)}
    return ", ".join(f"{stem} {value:.2f}" for stem, value in scores.items())


def _tell(text: str) -> None:
    """To stderr; a terminal that is closed refuses before its signal comes, which shall find the run still going on."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)
