"""`rtsep train`: train the model that a recipe describes."""

from __future__ import annotations

import importlib.util
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rtsep.cli.arguments import Compute, Flag
from rtsep.cli.output.progress_line import ProgressLine
from rtsep.errors import RtsepError, UsageError
from rtsep.system.allocator import keep_freed_memory
from rtsep.system.soft_stop import soft_stop
from rtsep.ui.console import put, say, say_lines

if TYPE_CHECKING:
    import torch

    from rtsep.train.run.run_log import Report
    from rtsep.train.run.trainer import Trainer

SCORE = "over_gain_db/"
LINES_S = 60.0
"""Seconds between progress lines if stderr is not a terminal."""
STOPPING = "rtsep: stopping after this step with a checkpoint; press Ctrl-C again to stop without one"


def train(
    recipe: str,
    *,
    data: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="")],
    out: Annotated[Path | None, Parameter(help="Folder of the run. Default: runs/NAME.")] = None,
    resume: Flag = False,
    init: Annotated[str | None, Parameter(help="Name or folder of a model to start a new run from.")] = None,
    compute: Compute = "auto",
    threads: Annotated[int, Parameter(help="CPU threads.")] = 1,
    tensorboard: Flag = False,
) -> None:
    """Train the model that a recipe describes.

    Writes to OUT: last.pt and best.pt (checkpoints: the latest, and the best on the held-out songs), bundle and best
    (the same weights as models to play), log.jsonl, and samples (audio and picture of a clip after each validation).
    Several processes share each batch: torchrun --nproc-per-node N -m rtsep.train RECIPE ...

    Parameters
    ----------
    recipe
        A recipe.toml, or the name or folder of a model, whose recipe is used.
    data
        Folders that contain the recipe's training folders.
    resume
        Resume from the checkpoint in OUT, if there is one. Ctrl-C writes a checkpoint before it ends the run;
        pressed twice, it does not.
    tensorboard
        Also write TensorBoard files to OUT.
    """
    if threads < 1:
        raise UsageError(f"--threads {threads}: expected 1 or more")
    if not data:
        raise UsageError("--data: expected one or more folders")
    if tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise RtsepError('--tensorboard: the package tensorboard is missing: pip install "rtsep[tensorboard]"')
    device = _device(compute)
    import torch

    from rtsep.bundle import RECIPE_FILE, find_bundle
    from rtsep.train.run.trainer import Trainer

    torch.set_num_threads(threads)
    keep_freed_memory()
    path = Path(recipe)
    if not (os.path.isfile(path) or path.suffix == ".toml"):
        path = find_bundle(recipe).path / RECIPE_FILE
    folder = out or Path("runs") / path.resolve().parent.name
    bundle = find_bundle(init) if init else None
    with ProgressLine(lines_s=LINES_S) as line:
        trainer = Trainer(
            *(path, data, folder),
            resume=resume,
            init=bundle,
            device=device,
            tensorboard=tensorboard,
            progress=partial(line.show, "decoding songs"),
        )
    with soft_stop(trainer.stop, STOPPING if trainer.group.is_first else ""):
        _follow(trainer, folder, device)


def _device(compute: str) -> torch.device:
    """The device of this process: under torchrun, the CUDA device with the number of its local rank."""
    from rtsep.separation.backends.pytorch import choose_compute

    device = choose_compute(compute)
    number = os.environ.get("LOCAL_RANK")
    if number is None or device.type == "cpu":
        return device
    if ":" in compute:
        raise UsageError(f"--compute {compute}: several processes need a device each; use --compute cuda")
    return choose_compute(f"cuda:{number}")


def _follow(trainer: Trainer, folder: Path, device: torch.device) -> None:
    """Train to the end; process 0 reports progress."""
    last = trainer.recipe.train.steps
    if not trainer.group.is_first:
        for _ in trainer.run():
            pass
        return
    _report_data(trainer)
    place = f"step {trainer.step} of {last}" if trainer.step else f"{last} steps"
    share = f", {trainer.group.world_size} processes" if trainer.group.world_size > 1 else ""
    say(f"{place} into {folder} on {device}{share}")
    with ProgressLine(trainer.step, LINES_S) as line:
        for report in trainer.run():
            step = int(report["step"])
            if "loss" in report:
                text = (
                    f"step {step}/{last}  loss {report['loss']:.4f}  rate {report['rate']:.2e}  "
                    f"{report['step_s']:.2f} s/step, {report['data_s'] / report['step_s']:.0%} of it waiting for data"
                )
                line.show(text, step, last)
            else:
                say_lines([f"step {step}: dB over the best constant gain: {_scores(report) or 'all silent'}"])
    if trainer.step < last:
        say(f"stopped at step {trainer.step} of {last}; continue with --resume")
    else:
        put(folder / "bundle")


def _report_data(trainer: Trainer) -> None:
    training, *held_out = trainer.data_reports
    say_lines(training.lines())
    for report in held_out:
        if report.has_remarks:
            say_lines(["held out:", *report.lines()])


def _scores(report: Report) -> str:
    """`vocals 5.21, instrumental 3.30`."""
    scores = {name.removeprefix(SCORE): value for name, value in report.items() if name.startswith(SCORE)}
    return ", ".join(f"{stem} {value:.2f}" for stem, value in scores.items())
