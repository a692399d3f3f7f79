"""The training loop: one process or several, resumable at any moment.

A step depends on the recipe, its seed and the step's number alone; so do the crops, the chunk size and the latency
mode. A run that was killed repeats the steps since its last checkpoint, and several processes that share every batch
do the same steps as one. For the files of a run see `rtsep.train.run.checkpoints`.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from rtsep.bundle import Bundle, build_network
from rtsep.errors import RtsepError
from rtsep.files import read_text
from rtsep.nn.contract import StreamingNetwork
from rtsep.recipe import Recipe, encode_network, load_recipe
from rtsep.train.crops.batch import CropBatch
from rtsep.train.crops.loader import CropLoader, default_workers
from rtsep.train.crops.sampler import CropSampler, generator, shortest_song
from rtsep.train.data.data_report import DataReport
from rtsep.train.data.songs import Song, load_songs
from rtsep.train.evaluation.validation import Validation
from rtsep.train.losses.criterion import Criterion
from rtsep.train.run.checkpoints import LAST, SAMPLES, RunFolder, State, write_tensors
from rtsep.train.run.distributed import DistributedGroup
from rtsep.train.run.optimizers import Optimizers
from rtsep.train.run.parameters import freeze_all_but
from rtsep.train.run.run_log import Report, RunLog
from rtsep.train.run.schedule import learning_rate

CHECKPOINT_S = 120.0
"""A kill loses no more than this and one step, validations apart."""
CALIBRATION_STEPS = 12
CPU = torch.device("cpu")


class _Teaching(nn.Module):
    """`StreamingNetwork.teach` as a forward pass, as DistributedDataParallel needs it.

    The true magnitudes are computed only for networks that override `teach`; most have no use for them.
    """

    def __init__(self, network: StreamingNetwork) -> None:
        super().__init__()
        self.network = network
        self._uses_stems = type(network).teach is not StreamingNetwork.teach

    def forward(self, magnitudes: Tensor, stems: Callable[[], Tensor], chunk: int | None) -> Tensor:
        return self.network.teach(magnitudes, stems(), chunk) if self._uses_stems else self.network(magnitudes, chunk)


class Trainer:
    """A training run of a recipe in a folder: a new one, or with `resume` the one whose checkpoint is there.

    Args:
        data: folders in which the recipe's folders are searched.
        init: bundle whose weights a new run starts from, instead of random ones.
        device: the device of this process.
        tensorboard: write TensorBoard files too.
        checkpoint_s: seconds between checkpoints; None: CHECKPOINT_S.
        progress: called after each decoded song with the numbers of decoded songs and of all songs.

    Attributes:
        step: optimiser steps done.
        group: this process and the others of the run.
        data_reports: what was found in `data` for training, then for validation.

    Raises UsageError if the folder holds a run and `resume` is false, RtsepError for a bad recipe, data or bundle.
    """

    def __init__(
        self,
        recipe_path: Path,
        data: Sequence[Path],
        folder: Path,
        *,
        resume: bool = False,
        init: Bundle | None = None,
        device: torch.device = CPU,
        tensorboard: bool = False,
        checkpoint_s: float | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._checkpoint_s = CHECKPOINT_S if checkpoint_s is None else checkpoint_s
        self.recipe: Recipe = load_recipe(recipe_path)
        if self.recipe.segments is not None:
            raise RtsepError(
                f"{recipe_path}: networks of whole segments cannot be trained by rtsep, only by their authors' code"
            )
        recipe_text = read_text(recipe_path)  # now: it may be edited during the run
        train = self.recipe.train
        self.group = DistributedGroup(device)
        if train.batch < self.group.world_size * train.accumulate:
            raise RtsepError(
                f"{recipe_path}: batch = {train.batch} is too small: {self.group.world_size} process(es) with "
                f"accumulate = {train.accumulate} need {self.group.world_size * train.accumulate} crops or more"
            )
        self._folder = RunFolder(folder, self.recipe, recipe_text)
        state = self.group.broadcast(lambda: self._folder.open(resume))
        self.data_reports: list[DataReport] = []
        with self.group.first_goes_ahead():
            songs = self._songs(data, progress, held_out=False)
            validated = self._songs(data, progress, held_out=True) if train.validate_steps else []
        self._loader = CropLoader(
            CropSampler(self.recipe, songs, train.seed, device),
            default_workers(self.group.local_world_size),
            self.group.share(train.batch),
        )
        self._validation = Validation(validated, self.recipe.stft, train.validate_s, folder / SAMPLES, self.group)
        torch.manual_seed(train.seed)
        self.network: StreamingNetwork = build_network(self.recipe).to(device)
        freeze_all_but(self.network, train.parts)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self._criterion = Criterion(self.recipe, device)
        self._optimizers = Optimizers(self.network, train)
        self._scaler = torch.amp.GradScaler(device.type, enabled=train.precision == "fp16")
        self.step, self._best_db = 0, -math.inf
        self._saved_step: int | None = None
        self._validated_step: int | None = None
        self._is_stopping = False
        if state is not None:
            self._restore(state)
        elif init is not None:
            self._initialise_from(init)
        else:
            self._set_input_statistics()
        self.group.broadcast(self._folder.make)
        self._parallel = self.group.wrap(_Teaching(self.network))
        self._log = RunLog(folder, self._saved_step, tensorboard) if self.group.is_first else None

    def stop(self) -> None:
        """End the run after the current step or at once in a validation, with a checkpoint.

        May be called from a signal handler. A validation that was not finished is repeated when the run resumes.
        """
        self._is_stopping = True

    def run(self) -> Iterator[Report]:
        """Train to the recipe's last step, or until `stop` is called.

        Yields every report that is logged: of a step, with a `loss`, or of a validation, without one. Raises RtsepError
        if a loss is NaN or the disk is full.
        """
        try:
            with closing(self._loader.batches(self.step)) as batches:
                yield from self._train(batches)
        finally:
            if self._log is not None:
                self._log.close()
            self.group.close()

    def _train(self, batches: Iterator[CropBatch]) -> Iterator[Report]:
        train = self.recipe.train
        self._saved_s = time.monotonic()
        while True:
            ended = self.step >= train.steps
            validated = self._validate() if self._is_validation_due() else None
            stopped = self.group.any(self._is_stopping)
            if validated or (self.step != self._saved_step and (ended or stopped or self._is_save_due())):
                self._save()
            if validated:
                yield validated
            if ended or stopped:
                return
            began = time.monotonic()
            batch = next(batches)
            data_s = time.monotonic() - began
            report = self._step(batch)
            self.step += 1
            yield self._logged({"step": self.step, **report, "data_s": data_s, "step_s": time.monotonic() - began})

    def _masks(self, magnitudes: Tensor, stems: Callable[[], Tensor], chunk: int | None) -> Tensor:
        """Masks in training: see `Criterion.__call__`; float32 whatever the recipe's precision."""
        precision = self.recipe.train.precision
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        with torch.autocast(magnitudes.device.type, dtype, enabled=precision != "fp32"):
            return self._parallel(magnitudes, stems, chunk).float()

    def _step(self, batch: CropBatch) -> Report:
        """One optimiser step, and the update of the averaged weights."""
        train, group = self.recipe.train, self.group
        random = generator(train.seed, self.step)
        chunk = train.chunks[random.integers(len(train.chunks))] or None
        latency = train.latencies[random.integers(len(train.latencies))]
        torch.manual_seed(int(random.integers(1 << 62)) + group.rank)  # for networks with dropout
        rate = learning_rate(self.step, train)
        self._optimizers.set_rate(rate)

        totals = group.all_reduce_sum(self._criterion.counts(batch).sum(dim=(1, 2)))
        losses = torch.zeros_like(totals)
        self._optimizers.zero_grad()
        pieces = list(batch.split(train.accumulate))
        for piece in pieces[:-1]:
            with group.no_sync(self._parallel):
                losses += self._backward(piece, totals, chunk, latency)
        losses += self._backward(pieces[-1], totals, chunk, latency)
        group.all_reduce_sum(losses)

        self._optimizers.unscale(self._scaler)
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), train.clip_norm))
        loss = float((losses * self._criterion.weights).sum())
        # A gradient that overflows in half precision skips the step, and the scaler halves its scale.
        if not math.isfinite(loss) or (not math.isfinite(norm) and self._scaler.get_scale() <= 1):
            self._fail_with_batch(batch, "gradient" if math.isfinite(loss) else "loss")
        self._optimizers.step(self._scaler, skip=not math.isfinite(norm))
        self._update_average()
        report = {"loss": loss}
        report |= {f"loss/{name}": share for name, share in zip(self._criterion.names, losses.tolist(), strict=True)}
        return report | {"rate": rate} | ({"gradient_norm": norm} if math.isfinite(norm) else {})

    def _backward(self, batch: CropBatch, totals: Tensor, chunk: int | None, latency: str) -> Tensor:
        """Add the gradients of some crops; return their contribution to each loss, (L,)."""
        shares = self._criterion(partial(self._masks, chunk=chunk), batch, totals, latency)
        # DistributedGroup end with the mean of their gradients, and shares are meant to add up.
        loss = (shares * self._criterion.weights).sum() * self.group.world_size
        self._scaler.scale(loss).backward()
        return shares.detach()

    @torch.no_grad()
    def _update_average(self) -> None:
        momentum = min(self.recipe.train.ema, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(value, 1 - momentum)
        for kept, value in zip(self.average.buffers(), self.network.buffers(), strict=True):
            kept.copy_(value)

    def _fail_with_batch(self, batch: CropBatch, what: str) -> None:
        """Keep the batch for inspection, each process its own share, and raise RtsepError."""
        path = self._folder.path / f"nan_batch.{self.group.rank}.pt"
        write_tensors(path, {"stems": batch.stems, "top_bin": batch.top_bin, "known": batch.known})
        raise RtsepError(f"{what} is NaN or infinite at step {self.step}; the batch is in {path}")

    def _is_validation_due(self) -> bool:
        """Whether this step must be validated; a run that stopped before that does it after it resumes."""
        every = self.recipe.train.validate_steps
        due = self.step >= self.recipe.train.steps or (every > 0 and self.step % every == 0)
        return bool(self._validation) and due and self.step != self._validated_step

    def _validate(self) -> Report | None:
        """Score the averaged weights; keep them if they are the best so far. None if `stop` was called meanwhile."""
        began = time.monotonic()
        scores = self._validation.run(self.average, self.step, lambda: self._is_stopping)
        if scores is None:
            return None
        self._validated_step = self.step
        score_db = scores.get("over_gain_db", -math.inf)
        if score_db > self._best_db:
            self._best_db = score_db
            if self.group.is_first:
                best = {"step": self.step, "over_gain_db": score_db, "average": self.average.state_dict()}
                self._folder.save_best(best)
        return self._logged({"step": self.step, **scores, "validation_s": time.monotonic() - began})

    def _logged(self, report: Report) -> Report:
        if self._log is not None:
            self._log.write(report)
        return report

    @torch.no_grad()
    def _set_input_statistics(self) -> None:
        """Measure mean and deviation of the input in every bin, for networks that normalise by them."""
        features = getattr(self.network, "features", None)
        if features is None:
            return
        sums = torch.zeros(3, self.recipe.stft.bins, dtype=torch.float64, device=self.group.device)
        with closing(self._loader.batches(0)) as batches:
            for batch in islice(batches, CALIBRATION_STEPS):
                mixture, _ = self._criterion.normalised(batch)
                x = features(self._criterion.magnitudes(mixture)).double()  # (B, T, F, C)
                sums[0] += x.numel() / x.shape[2]
                sums[1] += x.sum(dim=(0, 1, 3))
                sums[2] += x.square().sum(dim=(0, 1, 3))
        number, total, squares = self.group.all_reduce_sum(sums)
        mean = total / number
        deviation = ((squares - total * mean) / (number - 1)).clamp(min=0).sqrt()
        for network in (self.network, self.average):
            network.get_buffer("input_mean").copy_(mean)
            network.get_buffer("input_deviation").copy_(deviation.clamp(min=0.1))

    def _songs(self, data: Sequence[Path], progress: Callable[[int, int], None], held_out: bool) -> list[Song]:
        cache = self._folder.path.parent / "cache"
        shortest = 1 if held_out else shortest_song(self.recipe)
        songs, report = load_songs(self.recipe, data, cache, held_out, shortest, progress)
        self.data_reports.append(report)
        return songs

    def _is_save_due(self) -> bool:
        return self.step == 0 or time.monotonic() - self._saved_s > self._checkpoint_s

    def _save(self) -> None:
        if self.group.is_first:
            self._folder.save_last(self._state())
        self._saved_step, self._saved_s = self.step, time.monotonic()

    def _state(self) -> State:
        return {
            "step": self.step,
            "best_db": self._best_db,
            "validated_step": self._validated_step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": self._optimizers.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def _restore(self, state: State) -> None:
        try:
            self.step = self._saved_step = state["step"]
            self._best_db = state["best_db"]
            self._validated_step = state["validated_step"]
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self._optimizers.load_state_dict(state["optimizers"])
            if state["scaler"]:  # empty if the precision was different
                self._scaler.load_state_dict(state["scaler"])
        except (KeyError, ValueError, RuntimeError) as error:
            path = self._folder.path / LAST
            raise RtsepError(
                f"{path} does not fit: the recipe's optimizer or parts have changed, or rtsep's version "
                f"({type(error).__name__}); choose a new folder with --out"
            ) from error

    def _initialise_from(self, init: Bundle) -> None:
        if encode_network(init.recipe) != encode_network(self.recipe):
            raise RtsepError(f"--init {init.path}: its network differs from the one in the recipe")
        parameters = init.load_network().state_dict()
        self.network.load_state_dict(parameters)
        self.average.load_state_dict(parameters)
