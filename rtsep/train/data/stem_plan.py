"""From the parts of a song that are at hand (files) to the stems that a recipe wants: which sums and differences.

Not every song tells every stem. What a mixture holds beside the stems that are told is a *rest*: it lies in the first
of the stems that are not known, the others of them are zero. So the stems always sum to the mixture, and the sum of
those not known is known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WHOLES = {"mixture", "instrumental"}  # parts that hold several stems at once

# Other names of a part: of tools, of folders.
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

Sum = Mapping[str, float]  # weights of parts


class Unusable(Exception):
    """A song that nothing can be learnt from. Its text is the reason."""


def part_name(word: str) -> str:
    """The part that a file or folder of that name holds: `Accompaniment` is `instrumental`."""
    word = word.lower()
    return ALIASES.get(word, word)


@dataclass(frozen=True, eq=False)
class Plan:
    """Stem s is the sum of `weights[s, p]` times part `parts[p]`; `known[s]` tells whether that is it, or the rest."""

    parts: tuple[str, ...]
    weights: NDArray[np.float32]
    known: tuple[bool, ...]

    @property
    def subtracts(self) -> bool:
        """Whether vocals are what a mixture holds beyond its instrumental, which then must fit sample for sample."""
        return {"mixture", "instrumental"} <= set(self.parts)


def plan_stems(parts: Collection[str], stems: tuple[str, ...], silent: Collection[str] = ()) -> Plan:
    """How the stems come of the parts. Stems in `silent` are known to be silence.

    A part without a stem of its own (a guitar) belongs to `other` or `instrumental`. A stem without a part is silent
    where every part of the song has its name; it may lie in `other` or in what else the mixture holds where these are.
    Raises Unusable if no stem can be told.
    """
    given = set(parts)
    if given == {"vocals"} and not silent:
        raise Unusable("vocals alone, without what they were mixed with")
    total = _total(parts, given, silent)
    rows: dict[str, Sum] = {part: {part: 1.0} for part in parts if part not in ("mixture", "other")}
    rows |= {stem: {} for stem in silent}
    if "vocals" not in rows and given >= WHOLES:
        rows["vocals"] = _less({"mixture": 1.0}, {"instrumental": 1.0})
    if "instrumental" in stems and "instrumental" not in rows and "vocals" in rows:
        rows["instrumental"] = _less(total, rows["vocals"])
    wanted = [stem for stem in stems if stem not in rows]
    if not given & (WHOLES | {"other"}):
        rows |= {stem: {} for stem in wanted if stem != "other"}
        wanted = [stem for stem in wanted if stem == "other"]
    if wanted:
        rest = _less(total, *(rows[stem] for stem in stems if stem in rows))
        rows |= {stem: {} for stem in wanted} | {wanted[0]: rest}
    known = tuple(stem not in wanted or len(wanted) == 1 for stem in stems)
    used = tuple(part for part in parts if any(rows[stem].get(part) for stem in stems))
    if not used or not any(known):
        raise Unusable(f"{' and '.join(sorted(given))} alone: none of {', '.join(stems)} can be told from that")
    weights = np.array([[rows[stem].get(part, 0.0) for part in used] for stem in stems], np.float32)
    return Plan(used, weights, known)


def _total(parts: Collection[str], given: set[str], silent: Collection[str]) -> Sum:
    """What the mixture is the sum of: the separate files where they are all of it, else a file that holds more."""
    if given >= {"vocals", "other"} or not given & WHOLES:
        if "vocals" not in given and "vocals" not in silent:
            raise Unusable("no vocals")
        return {part: 1.0 for part in parts if part not in WHOLES}
    if "mixture" in given:
        return {"mixture": 1.0}
    if "vocals" in given:
        return {"instrumental": 1.0, "vocals": 1.0}
    if "vocals" in silent:
        return {"instrumental": 1.0}
    raise Unusable("no vocals, and no mixture to tell them from")


def _less(total: Sum, *taken: Sum) -> Sum:
    rest = dict(total)
    for row in taken:
        for part, weight in row.items():
            rest[part] = rest.get(part, 0.0) - weight
    return rest
