"""The training loop: one process or several, resumable at any moment, no engine and no player.

A step depends on the recipe, its seed and its own number alone: so do the crops, the chunk size, the latency mode. A
run that was killed repeats what it had lost since its checkpoint, and several processes that share every batch walk the
same path as one. What a run leaves behind: see `rtsep.train.run.checkpoints`.
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
from rtsep.nn.contract import StreamingNetwork
from rtsep.recipe import Recipe, encode_network, load_recipe
from rtsep.train.crops.loader import CropLoader, default_workers
from rtsep.train.crops.sampler import Batch, CropSampler, generator, shortest_song
from rtsep.train.data.data_report import DataReport
from rtsep.train.data.songs import Song, load_songs
from rtsep.train.evaluation.validation import Validation
from rtsep.train.losses.criterion import Criterion, Crops
from rtsep.train.run.checkpoints import LAST, SAMPLES, RunFolder, State, write_tensors
from rtsep.train.run.distributed import Processes
from rtsep.train.run.optimizers import Optimizers
from rtsep.train.run.parameters import freeze_all_but
from rtsep.train.run.run_log import Report, RunLog
from rtsep.train.run.schedule import learning_rate

CHECKPOINT_S = 120.0
"""No more than this and a step is lost to a kill, validations apart."""
CALIBRATION_STEPS = 12
CPU = torch.device("cpu")


class _Taught(nn.Module):
    """`StreamingNetwork.teach` as a forward pass, which is what several processes follow.

    Most networks have no use for the true magnitudes: those are found only where one has a `teach` of its own.
    """

    def __init__(self, network: StreamingNetwork) -> None:
        super().__init__()
        self.network = network
        self._listens = type(network).teach is not StreamingNetwork.teach

    def forward(self, magnitudes: Tensor, stems: Callable[[], Tensor], chunk: int | None) -> Tensor:
        return self.network.teach(magnitudes, stems(), chunk) if self._listens else self.network(magnitudes, chunk)


class Trainer:
    """A run of a recipe in a folder: begun, or with `resume` gone on with where the folder holds a checkpoint.

    Args:
        data: folders in each of which the recipe's are looked for.
        init: the bundle whose weights a new run starts from, rather than random ones.
        device: where to compute; each process of several its own.
        tensorboard: write TensorBoard's files too.
        progress: called with how many songs are decoded, of how many, after each.

    Attributes:
        step: optimiser steps done.
        processes: this one and the others.
        found: what was found in `data`: to train on, then to validate with.

    Raises UsageError for a folder that holds a run and no `resume`, RtsepError for a bad recipe, data or bundle.
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
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.recipe: Recipe = load_recipe(recipe_path)
        if self.recipe.segments is not None:
            raise RtsepError(
                f"{recipe_path}: networks of whole segments are not trained here, only by their authors' code"
            )
        recipe_text = recipe_path.read_text()  # as it is now: it may be edited while the run goes on
        train = self.recipe.train
        self.processes = Processes(device)
        if train.batch < self.processes.count * train.accumulate:
            raise RtsepError(
                f"{recipe_path}: a batch of {train.batch} crops is too small for {self.processes.count} process(es) "
                f"with accumulate = {train.accumulate}"
            )
        self._folder = RunFolder(folder, self.recipe, recipe_text)
        state = self.processes.from_first(lambda: self._folder.open(resume))
        self.found: list[DataReport] = []
        with self.processes.one_ahead():
            songs = self._songs(data, progress, held_out=False)
            validated = self._songs(data, progress, held_out=True) if train.validate_steps else []
        self._loader = CropLoader(
            CropSampler(self.recipe, songs, train.seed),
            default_workers(self.processes.on_machine),
            self.processes.share(train.batch),
        )
        self._validation = Validation(validated, self.recipe.stft, train.validate_s, folder / SAMPLES, self.processes)
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
        self._stops = False
        if state is not None:
            self._restore(state)
        elif init is not None:
            self._start_from(init)
        else:
            self._calibrate()
        self.processes.from_first(self._folder.make)
        self._parallel = self.processes.parallel(_Taught(self.network))
        self._log = RunLog(folder, self._saved_step, tensorboard) if self.processes.first else None

    def stop(self) -> None:
        """End the run after the step it is at, with a checkpoint; may be called from a signal handler."""
        self._stops = True

    def run(self) -> Iterator[Report]:
        """Train to the recipe's last step, or until `stop` is called.

        Yields each report that is also logged: of a step, which has a `loss`, or of a validation, which has none.
        Raises RtsepError when a loss is not a number or the disk is full.
        """
        try:
            with closing(self._loader.batches(self.step)) as batches:
                yield from self._train(batches)
        finally:
            if self._log is not None:
                self._log.close()
            self.processes.close()

    def _train(self, batches: Iterator[Batch]) -> Iterator[Report]:
        train = self.recipe.train
        self._saved_s = time.monotonic()
        while True:
            ended = self.step >= train.steps
            validated = self._validate() if self._owes_validation() and not self.processes.any(self._stops) else None
            stopped = self.processes.any(self._stops)
            if validated or (self.step != self._saved_step and (ended or stopped or self._time_to_save())):
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
            yield self._told({"step": self.step, **report, "data_s": data_s, "step_s": time.monotonic() - began})

    def _crops(self, batch: Batch) -> Crops:
        """A batch on the device."""
        device = self.processes.device
        stems = torch.from_numpy(batch.stems).to(device, non_blocking=True)
        return Crops(stems, torch.from_numpy(batch.top_bin).to(device), torch.from_numpy(batch.known).to(device))

    def _masks(self, magnitudes: Tensor, stems: Callable[[], Tensor], chunk: int | None) -> Tensor:
        """(B, C, F, T) and what gives the true (B, S, C, F, T) -> (B, S, C, F + 1, T), float32 whatever the recipe's
        precision."""
        precision = self.recipe.train.precision
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        with torch.autocast(magnitudes.device.type, dtype, enabled=precision != "fp32"):
            return self._parallel(magnitudes, stems, chunk).float()

    def _step(self, batch: Batch) -> Report:
        """One step of the optimiser and of the average."""
        train, processes = self.recipe.train, self.processes
        random = generator(train.seed, self.step)
        chunk = train.chunks[random.integers(len(train.chunks))] or None
        latency = train.latencies[random.integers(len(train.latencies))]
        torch.manual_seed(int(random.integers(1 << 62)) + processes.rank)  # for networks with dropout
        rate = learning_rate(self.step, train)
        self._optimizers.set_rate(rate)

        crops = self._crops(batch)
        totals = processes.total(self._criterion.counts(crops).sum(dim=(1, 2)))
        losses = torch.zeros_like(totals)
        self._optimizers.zero_grad()
        parts = list(crops.split(train.accumulate))
        for part in parts[:-1]:
            with processes.gradients_kept(self._parallel):
                losses += self._backward(part, totals, chunk, latency)
        losses += self._backward(parts[-1], totals, chunk, latency)
        processes.total(losses)

        self._optimizers.unscale(self._scaler)
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), train.clip_norm))
        loss = float((losses * self._criterion.weights).sum())
        # In half precision a gradient may overflow: the step is then left out and the scaler halves its scale.
        if not math.isfinite(loss) or (not math.isfinite(norm) and self._scaler.get_scale() <= 1):
            self._stop_at(crops, "gradient" if math.isfinite(loss) else "loss")
        self._optimizers.step(self._scaler, skip=not math.isfinite(norm))
        self._update_average()
        report = {"loss": loss}
        report |= {f"loss/{name}": share for name, share in zip(self._criterion.names, losses.tolist(), strict=True)}
        return report | {"rate": rate} | ({"gradient_norm": norm} if math.isfinite(norm) else {})

    def _backward(self, crops: Crops, totals: Tensor, chunk: int | None, latency: str) -> Tensor:
        """Add the gradient of some crops; returns their share in each loss, (L,)."""
        shares = self._criterion(partial(self._masks, chunk=chunk), crops, totals, latency)
        # Processes end with the mean of their gradients, and shares are meant to add up.
        loss = (shares * self._criterion.weights).sum() * self.processes.count
        self._scaler.scale(loss).backward()
        return shares.detach()

    @torch.no_grad()
    def _update_average(self) -> None:
        momentum = min(self.recipe.train.ema, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(value, 1 - momentum)
        for kept, value in zip(self.average.buffers(), self.network.buffers(), strict=True):
            kept.copy_(value)

    def _stop_at(self, crops: Crops, what: str) -> None:
        """Every process keeps its own part of the batch."""
        path = self._folder.path / f"nan_batch.{self.processes.rank}.pt"
        write_tensors(path, {"stems": crops.stems, "top_bin": crops.top_bin, "known": crops.known})
        raise RtsepError(f"the {what} is not a number at step {self.step}; the batch is in {path}")

    def _owes_validation(self) -> bool:
        """Of this step; a run that stopped before it makes up for it when it goes on."""
        every = self.recipe.train.validate_steps
        due = self.step >= self.recipe.train.steps or (every > 0 and self.step % every == 0)
        return bool(self._validation) and due and self.step != self._validated_step

    def _validate(self) -> Report:
        """Score the averaged weights; keep them if none were better."""
        began = time.monotonic()
        scores = self._validation.run(self.average, self.step)
        self._validated_step = self.step
        score_db = scores.get("over_gain_db", -math.inf)
        if score_db > self._best_db:
            self._best_db = score_db
            if self.processes.first:
                best = {"step": self.step, "over_gain_db": score_db, "average": self.average.state_dict()}
                self._folder.save_best(best)
        return self._told({"step": self.step, **scores, "validation_s": time.monotonic() - began})

    def _told(self, report: Report) -> Report:
        if self._log is not None:
            self._log.write(report)
        return report

    @torch.no_grad()
    def _calibrate(self) -> None:
        """Give the network the mean and deviation of its input in every bin, where it wants them."""
        features = getattr(self.network, "features", None)
        if features is None:
            return
        sums = torch.zeros(3, self.recipe.stft.bins, dtype=torch.float64, device=self.processes.device)
        with closing(self._loader.batches(0)) as batches:
            for batch in islice(batches, CALIBRATION_STEPS):
                mixture, _ = self._criterion.normalised(self._crops(batch))
                x = features(self._criterion.magnitudes(mixture)).double()  # (B, T, F, C)
                sums[0] += x.numel() / x.shape[2]
                sums[1] += x.sum(dim=(0, 1, 3))
                sums[2] += x.square().sum(dim=(0, 1, 3))
        number, total, squares = self.processes.total(sums)
        mean = total / number
        deviation = ((squares - total * mean) / (number - 1)).clamp(min=0).sqrt()
        for network in (self.network, self.average):
            network.get_buffer("input_mean").copy_(mean)
            network.get_buffer("input_deviation").copy_(deviation.clamp(min=0.1))

    def _songs(self, data: Sequence[Path], progress: Callable[[int, int], None], held_out: bool) -> list[Song]:
        cache = self._folder.path.parent / "cache"
        shortest = 1 if held_out else shortest_song(self.recipe)
        songs, report = load_songs(self.recipe, data, cache, held_out, shortest, progress)
        self.found.append(report)
        return songs

    def _time_to_save(self) -> bool:
        return self.step == 0 or time.monotonic() - self._saved_s > CHECKPOINT_S

    def _save(self) -> None:
        if self.processes.first:
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
            if state["scaler"]:  # empty where the precision was another
                self._scaler.load_state_dict(state["scaler"])
        except (KeyError, ValueError, RuntimeError) as error:
            path = self._folder.path / LAST
            raise RtsepError(
                f"{path} does not fit: the recipe's optimizer or parts have changed, or the trainer is another version "
                f"({type(error).__name__}); give --out a new folder"
            ) from error

    def _start_from(self, init: Bundle) -> None:
        if encode_network(init.recipe) != encode_network(self.recipe):
            raise RtsepError(f"{init.path} holds another network than this recipe's; a run cannot start from it")
        parameters = init.load_network().state_dict()
        self.network.load_state_dict(parameters)
        self.average.load_state_dict(parameters)
