"""The training loop: one process, resumable at any moment, no engine and no player.

A run is a folder: `last.pt` (network, average, optimiser, random state, step), `log.jsonl` with a line for every
report, and `bundle/`, the averaged weights so far, which the player plays. Each is written under another name first.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtsep.bundle import Bundle, build_network
from rtsep.errors import RtsepError
from rtsep.nn.contract import StreamingNetwork, spread_high_band
from rtsep.recipe import Recipe, encode_network, load_recipe
from rtsep.train.crops import CropSampler
from rtsep.train.data import load_songs
from rtsep.train.export import export_bundle
from rtsep.train.losses import judged_bins, separation_loss, spectra
from rtsep.train_settings import Train

CHECKPOINT = "last.pt"
LOG = "log.jsonl"
BUNDLE = "bundle"
REPORT_STEPS = 20
CHECKPOINT_STEPS = 100
CALIBRATION_BATCHES = 12


def learning_rate(step: int, train: Train) -> float:
    """Linear warm-up, level, then linear decay to zero over the last `decay_share` of the steps."""
    decay_steps = max(1, round(train.steps * train.decay_share))
    rise = (step + 1) / max(1, train.warmup_steps)
    fall = (train.steps - step) / decay_steps
    return train.learning_rate * max(0.0, min(1.0, rise, fall))


def freeze_all_but(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Leave only the named parts of the network to be trained, the rest as when it plays; all of it if none is named.

    Raises RtsepError for a part that the network does not have.
    """
    if not parts:
        return
    modules = {name.removeprefix("network."): module for name, module in network.named_modules()}
    unknown = [part for part in parts if part not in modules]
    if unknown:
        raise RtsepError(f"train.parts: the network has no part {unknown[0]!r}")
    network.eval().requires_grad_(False)
    for part in parts:
        modules[part].train().requires_grad_()


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; gains, biases and tables of positions do not. What is frozen is in neither group."""
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    matrices = [p for name, p in trained.items() if p.ndim >= 2 and not name.endswith("attention.bias")]
    chosen = {id(p) for p in matrices}
    rest = [p for p in trained.values() if id(p) not in chosen]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


class Trainer:
    """Everything that a run remembers. `run` goes on from the folder's checkpoint if there is one.

    A new run starts from the weights of `init` if given. Raises RtsepError if they belong to another network.
    """

    def __init__(self, recipe_path: Path, data: Path, folder: Path, init: Bundle | None = None) -> None:
        self.recipe: Recipe = load_recipe(recipe_path)
        self.recipe_text = recipe_path.read_text()  # as it is now: it may be edited while the run goes on
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(self.recipe.train.seed)
        self.network: StreamingNetwork = build_network(self.recipe)
        freeze_all_but(self.network, self.recipe.train.parts)
        self.sampler = CropSampler(
            self.recipe, load_songs(self.recipe, data, folder.parent / "cache", held_out=False), self.recipe.train.seed
        )
        self.bins = judged_bins(self.recipe.stft, torch.device("cpu"))
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, self.recipe.train.weight_decay), lr=0.0, betas=(0.9, 0.98), fused=True
        )
        self.step = 0
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        if (folder / CHECKPOINT).exists():
            self._restore()
        elif init is not None:
            self._start_from(init)
        else:
            self._calibrate()

    def run(self) -> Iterator[dict[str, float]]:
        """Train to the recipe's last step, yielding each report that is also logged. Raises RtsepError on NaN."""
        train = self.recipe.train
        losses: list[float] = []
        began = time.monotonic()
        while self.step < train.steps:
            rate = learning_rate(self.step, train)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            losses.append(self._step())
            self.step += 1
            if self.step % REPORT_STEPS == 0 or self.step == train.steps:
                seconds = (time.monotonic() - began) / len(losses)
                report = {"step": self.step, "loss": sum(losses) / len(losses), "rate": rate, "step_s": seconds}
                with (self.folder / LOG).open("a") as log:
                    log.write(json.dumps(report) + "\n")
                yield report
                losses, began = [], time.monotonic()
            if self.step % CHECKPOINT_STEPS == 0 or self.step == train.steps:
                self._save()

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mixture (B, T, F, C) and stems (B, S, T, F, C) of the judged bins at unit level, and weights (B, T, F)."""
        stft, batch = self.recipe.stft, self.sampler.draw()
        waves = torch.from_numpy(batch.stems)
        size, stems = waves.shape[:2]
        stem_spectra = spectra(waves.flatten(0, 1), stft, self.bins).unflatten(0, (size, stems))
        mixture = stem_spectra.sum(dim=1)
        level = mixture[:, :, : stft.bins].abs().square().mean(dim=(1, 2, 3)).sqrt().clamp(min=1e-6)
        weight = (self.bins[None] < torch.from_numpy(batch.top_bin)[:, None]).float()
        weight = weight[:, None].expand(-1, mixture.shape[1], -1).clone()
        weight[:, : self.recipe.train.warmup_frames] = 0.0
        return mixture / level[:, None, None, None], stem_spectra / level[:, None, None, None, None], weight

    def _step(self) -> float:
        train, bins = self.recipe.train, self.recipe.stft.bins
        mixture, stems, weight = self._batch()
        choice = int(self.sampler.random.integers(len(train.chunks)))
        seen = mixture[:, :, :bins].abs().permute(0, 3, 2, 1)
        true = stems[:, :, :, :bins].abs().permute(0, 1, 4, 3, 2)
        masks = self.network.teach(seen, true, chunk=train.chunks[choice] or None)
        masks = spread_high_band(masks.permute(0, 4, 1, 3, 2), len(self.bins))
        loss = separation_loss(masks, mixture, stems, weight, train.energy_weight)
        if not math.isfinite(loss.item()):
            torch.save({"mixture": mixture, "stems": stems}, self.folder / "nan_batch.pt")
            raise RtsepError(
                f"the loss is not a number at step {self.step}; the batch is in {self.folder}/nan_batch.pt"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), train.clip_norm)
        self.optimizer.step()
        momentum = min(train.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1 - momentum)
            for mean, value in zip(self.average.buffers(), self.network.buffers(), strict=True):
                mean.copy_(value)  # the statistics of batch norms are averages already
        return loss.item()

    @torch.no_grad()
    def _calibrate(self) -> None:
        """Give the network the mean and deviation of its input in every bin, where it wants them."""
        features = getattr(self.network, "features", None)
        if features is None:
            return
        bins = self.recipe.stft.bins
        drawn = [features(self._batch()[0][:, :, :bins].abs().permute(0, 3, 2, 1)) for _ in range(CALIBRATION_BATCHES)]
        logs = torch.cat([x.flatten(0, 1) for x in drawn])  # (frames, bins, channels)
        for network in (self.network, self.average):
            network.get_buffer("input_mean").copy_(logs.mean(dim=(0, 2)))
            network.get_buffer("input_deviation").copy_(logs.std(dim=(0, 2)).clamp(min=0.1))

    def _save(self) -> None:
        state = {
            "step": self.step,
            "recipe": encode_network(self.recipe),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": json.dumps(self.sampler.random.bit_generator.state),
        }
        partial = self.folder / (CHECKPOINT + ".part")
        torch.save(state, partial)
        partial.replace(self.folder / CHECKPOINT)
        export_bundle(self.recipe, self.recipe_text, self.average.state_dict(), self.folder / BUNDLE)

    def _start_from(self, init: Bundle) -> None:
        if encode_network(init.recipe) != encode_network(self.recipe):
            raise RtsepError(f"{init.path} holds another network than this recipe's; a run cannot start from it")
        parameters = init.load_network().state_dict()
        self.network.load_state_dict(parameters)
        self.average.load_state_dict(parameters)

    def _restore(self) -> None:
        state = torch.load(self.folder / CHECKPOINT, weights_only=True)
        if state["recipe"] != encode_network(self.recipe):
            raise RtsepError(
                f"{self.folder} holds a run of another network than this recipe's; give --out a new folder"
            )
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.random.bit_generator.state = json.loads(state["random"])
