"""The folder of a run; it survives a kill at any moment.

    last.pt        everything needed to resume
    best.pt        the averaged weights that scored best on the held-out songs, and their score
    bundle, best   the same two sets of averaged weights as models to play
    log.jsonl      a line for each step and each validation
    samples        audio and picture of one clip for each validation

The two checkpoints are written atomically; the bundles are derived from them.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from rtsep.errors import RtsepError, UsageError
from rtsep.files import write_atomically, write_errors
from rtsep.recipe import Recipe, encode_network
from rtsep.train.run.export import export_bundle

LAST, BEST = "last.pt", "best.pt"
LAST_BUNDLE, BEST_BUNDLE = "bundle", "best"
SAMPLES = "samples"

State = dict[str, Any]


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write a file for `torch.load(path, weights_only=True)`, atomically.

    Serialised in memory first: torch's own writer hides that the disk is full.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getbuffer())


class RunFolder:
    """The checkpoints of a run; `recipe_text` goes into its bundles. Every failure is an RtsepError."""

    def __init__(self, path: Path, recipe: Recipe, recipe_text: str) -> None:
        self.path, self._recipe, self._recipe_text = path, recipe, recipe_text
        self._network = encode_network(recipe)

    def open(self, resume: bool) -> State | None:
        """The state to resume from, None for a new run.

        Raises UsageError if the folder holds a run and `resume` is false or there is no checkpoint, RtsepError if the
        checkpoint belongs to another network.
        """
        held = [name for name in (LAST, BEST, LAST_BUNDLE, BEST_BUNDLE) if (self.path / name).exists()]
        if resume and LAST in held:
            state = self._load(LAST)
            # After a kill between checkpoint and bundle the bundle is older than the checkpoint.
            self._export(state, LAST_BUNDLE)
            if BEST in held:
                self._export(self._load(BEST), BEST_BUNDLE)
            return state
        if held:
            remedy = "continue it with --resume, or choose" if LAST in held else "it cannot be resumed; choose"
            raise UsageError(f"{self.path} already holds a run ({held[0]}): {remedy} a new folder with --out")
        return None

    def make(self) -> None:
        """Make the folder, if there is none. Called once there is something to write."""
        with write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def save_last(self, state: State) -> None:
        """Replace the latest checkpoint, and the bundle of its averaged weights, `state["average"]`."""
        self._save(LAST, state)
        self._export(state, LAST_BUNDLE)

    def save_best(self, state: State) -> None:
        """Replace the best checkpoint and its bundle."""
        self._save(BEST, state)
        self._export(state, BEST_BUNDLE)

    def _save(self, name: str, state: State) -> None:
        write_tensors(self.path / name, state | {"recipe": self._network})

    def _load(self, name: str) -> State:
        path = self.path / name
        try:
            state: State = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            first_line = str(error).partition("\n")[0]
            raise RtsepError(f"{path} is not a readable checkpoint: {first_line}") from error
        if state.get("recipe") != self._network:
            raise RtsepError(f"{self.path} holds a run of another network: choose a new folder with --out")
        return state

    def _export(self, state: State, name: str) -> None:
        export_bundle(self._recipe, self._recipe_text, state["average"], self.path / name)
