"""Whether a stepper keeps the streaming contract, as far as that can be seen without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtsep.separation.backends.stepper import FrameStepper

CHUNKS = (1, 2, 3, 7, 32)


def check_stepper(stepper: FrameStepper) -> list[str]:
    """Every broken rule, one line each; empty if the contract is kept."""
    return list(_problems(stepper))


def _problems(stepper: FrameStepper) -> Iterator[str]:
    random = np.random.default_rng(7)
    shape = (stepper.channels, stepper.bins)
    for chunk in CHUNKS:
        stepper.reset()
        magnitudes = (20 * random.random((*shape, chunk)) ** 4).astype(np.float32)
        first = stepper.step(magnitudes).copy()
        expected = (len(stepper.stems), stepper.channels, stepper.bins + 1, chunk)
        if first.shape != expected:
            yield f"a step gives masks {first.shape}, expected {expected}"
            return
        if not np.isfinite(first).all():
            yield f"masks at chunk {chunk} are not finite"
            return
        saved = stepper.snapshot()
        after = stepper.step(magnitudes).copy()
        stepper.restore(saved)
        if not np.array_equal(stepper.step(magnitudes), after):
            yield f"a restored snapshot does not continue as the state did, at chunk {chunk}"
        stepper.reset()
        if not np.array_equal(stepper.step(magnitudes), first):
            yield f"after a reset the masks are not those of a fresh state, at chunk {chunk}"
    stepper.reset()
    if not np.isfinite(stepper.step(np.zeros((*shape, 1), np.float32))).all():
        yield "silence gives masks that are not finite"
