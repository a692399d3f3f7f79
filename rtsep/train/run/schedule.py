"""The learning-rate schedule."""

from __future__ import annotations

import math

from rtsep.train_settings import Train


def learning_rate(step: int, train: Train) -> float:
    """Learning rate of a step: linear warm-up, constant, then decay over the last `decay_share` of the steps.

    The decay is (1 - x)^power with x from 0 to 1, or half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983,
    without restarts). A decay share of 1 - warmup_steps / steps leaves no constant part: carperbr's schedule.
    """
    rise = (step + 1) / max(1, train.warmup_steps)
    left = min(1.0, (train.steps - step) / max(1, round(train.steps * train.decay_share)))
    shape = left**train.decay_power if train.decay == "polynomial" else 0.5 - 0.5 * math.cos(math.pi * left)
    return min(train.learning_rate * rise, train.final_rate + (train.learning_rate - train.final_rate) * shape)
