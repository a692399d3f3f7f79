"""Which sums and differences of a song's files give the stems that a recipe wants.

Not every song has every stem. What a mixture holds besides the stems that are known is the *rest*: it is put into the
first unknown stem, the other unknown stems are zero. So the stems always sum to the mixture, and the sum of the unknown
stems is right even though none of them is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WHOLES = {"mixture", "instrumental"}  # names of files that hold several stems at once

# Other names for what a file holds, of tools and of folders.
ALIASES = {
    "mix": "mixture",
    "mixtures": "mixture",
    "accompaniment": "instrumental",
    "instrumentals": "instrumental",
    "instruments": "instrumental",
    "inst": "instrumental",
    "no_vocals": "instrumental",
    "vocal": "vocals",
}

Sum = Mapping[str, float]  # file name -> weight


class UnusableSong(Exception):
    """A song that cannot be trained on. Its text is the reason."""


def canonical_name(word: str) -> str:
    """The name of what a file or folder holds: `Accompaniment` is `instrumental`."""
    word = word.lower()
    return ALIASES.get(word, word)


@dataclass(frozen=True, eq=False)
class StemPlan:
    """Stem s is the sum of `weights[s, i]` times file `inputs[i]`. `known[s]`: it is that stem, not a rest."""

    inputs: tuple[str, ...]
    weights: NDArray[np.float32]
    known: tuple[bool, ...]

    @property
    def subtracts_instrumental(self) -> bool:
        """Whether the vocals are mixture minus instrumental, which must then be aligned to the sample."""
        return set(self.inputs) >= WHOLES

    @property
    def bounds(self) -> set[str]:
        """The inputs whose end is the end of the song: where one of them is missing, differences are wrong."""
        return WHOLES & set(self.inputs) if (self.weights < 0).any() else set()


def plan_stems(names: Collection[str], stems: tuple[str, ...], silent: Collection[str] = ()) -> StemPlan:
    """How to make the stems from files with these canonical names. Stems in `silent` are known to be silence.

    A file without a stem of its own (a guitar) belongs to `other` or `instrumental`. A stem without a file is silent if
    the song consists of single stems alone; it is part of the rest if there is an `other` or a mixture.
    Raises UnusableSong if no stem is known.
    """
    available = set(names)
    if available == {"vocals"} and not silent:
        raise UnusableSong("vocals without an accompaniment")
    total = _total(names, available, silent)
    rows: dict[str, Sum] = {name: {name: 1.0} for name in names if name not in ("mixture", "other")}
    rows |= {stem: {} for stem in silent}
    if "vocals" not in rows and available >= WHOLES:
        rows["vocals"] = _minus({"mixture": 1.0}, {"instrumental": 1.0})
    if "instrumental" in stems and "instrumental" not in rows and "vocals" in rows:
        rows["instrumental"] = _minus(total, rows["vocals"])
    wanted = [stem for stem in stems if stem not in rows]
    if not available & (WHOLES | {"other"}):
        rows |= {stem: {} for stem in wanted if stem != "other"}
        wanted = [stem for stem in wanted if stem == "other"]
    if wanted:
        rest = _minus(total, *(rows[stem] for stem in stems if stem in rows))
        rows |= {stem: {} for stem in wanted} | {wanted[0]: rest}
    known = tuple(stem not in wanted or len(wanted) == 1 for stem in stems)
    inputs = tuple(name for name in names if any(rows[stem].get(name) for stem in stems))
    if not inputs or not any(known):
        raise UnusableSong(f"only {' and '.join(sorted(available))}: none of {', '.join(stems)} follows from that")
    weights = np.array([[rows[stem].get(name, 0.0) for name in inputs] for stem in stems], np.float32)
    return StemPlan(inputs, weights, known)


def _total(names: Collection[str], available: set[str], silent: Collection[str]) -> Sum:
    """The mixture as a sum of files: of the single stems if they are complete, else of a file that holds more."""
    if available >= {"vocals", "other"} or not available & WHOLES:
        if "vocals" not in available and "vocals" not in silent:
            raise UnusableSong("no vocals")
        return {name: 1.0 for name in names if name not in WHOLES}
    if "mixture" in available:
        return {"mixture": 1.0}
    if "vocals" in available:
        return {"instrumental": 1.0, "vocals": 1.0}
    if "vocals" in silent:
        return {"instrumental": 1.0}
    raise UnusableSong("no vocals, and no mixture to derive them from")


def _minus(total: Sum, *subtracted: Sum) -> Sum:
    rest = dict(total)
    for row in subtracted:
        for name, weight in row.items():
            rest[name] = rest.get(name, 0.0) - weight
    return rest
