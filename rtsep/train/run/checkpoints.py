"""The folder of a run, and what of it survives a kill at any moment.

    last.pt        all that the run needs to go on
    best.pt        the averaged weights that scored best on the held-out songs, and their score
    bundle, best   the same two sets of averaged weights, to be played
    log.jsonl      a line for each step and each validation
    samples        how the run sounds and looks: of one clip, a file for each validation

The two checkpoints are the truth: each is written under another name first; the bundles follow from them.
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
    """Write what `torch.load(path, weights_only=True)` reads, likewise.

    By way of memory: torch's own writer turns a full disk into errors that do not say so.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getbuffer())


class RunFolder:
    """The checkpoints of a run of `recipe`; `recipe_text` goes into its bundles. Every failure is an RtsepError."""

    def __init__(self, path: Path, recipe: Recipe, recipe_text: str) -> None:
        self.path, self._recipe, self._recipe_text = path, recipe, recipe_text
        self._network = encode_network(recipe)

    def open(self, resume: bool) -> State | None:
        """The state to go on from, None where a run begins.

        Raises UsageError if the folder holds a run that `resume` does not ask for or cannot find a checkpoint of,
        RtsepError if that is one of another network.
        """
        held = [name for name in (LAST, BEST, LAST_BUNDLE, BEST_BUNDLE) if (self.path / name).exists()]
        if resume and LAST in held:
            state = self._load(LAST)
            # A kill between checkpoint and bundle leaves the older bundle, or half of the new one.
            self._export(state, LAST_BUNDLE)
            if BEST in held:
                self._export(self._load(BEST), BEST_BUNDLE)
            return state
        if held:
            way = "go on with --resume, or give" if LAST in held else "but no checkpoint to go on from; give"
            raise UsageError(f"{self.path} holds a run already ({held[0]}): {way} --out a new folder")
        return None

    def make(self) -> None:
        """Make the folder, if it is not there yet: once it is known that there is something to put into it."""
        with write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def save_last(self, state: State) -> None:
        """Replace the checkpoint to go on from, and the bundle of its averaged weights, `state["average"]`."""
        self._save(LAST, state)
        self._export(state, LAST_BUNDLE)

    def save_best(self, state: State) -> None:
        """Replace the best weights, likewise."""
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
            raise RtsepError(f"{path} is no checkpoint that can be read: {first_line}") from error
        if state.get("recipe") != self._network:
            raise RtsepError(f"{self.path} holds a run of another network than this recipe's; give --out a new folder")
        return state

    def _export(self, state: State, name: str) -> None:
        export_bundle(self._recipe, self._recipe_text, state["average"], self.path / name)
