"""The learning rate over the steps."""

import numpy as np
import pytest

from rtsep.train.run.schedule import learning_rate
from rtsep.train_settings import Train


def rates(train: Train) -> np.ndarray:
    return np.array([learning_rate(step, train) for step in range(train.steps + 1)])


@pytest.mark.parametrize("decay", ["polynomial", "cosine"])
def test_the_rate_rises_holds_and_falls(decay: str) -> None:
    train = Train(steps=30, warmup_steps=5, learning_rate=4e-3, final_rate=1e-5, decay_share=0.3, decay=decay)  # type: ignore[arg-type]
    found = rates(train)
    assert found[:5] == pytest.approx(4e-3 * np.arange(1, 6) / 5)
    assert found[5:21] == pytest.approx(4e-3)
    assert (np.diff(found[21:]) < 0).all()
    assert found[-1] == pytest.approx(1e-5)


def test_a_cosine_is_half_way_down_in_the_middle_and_flat_at_its_ends() -> None:
    found = rates(Train(steps=100, warmup_steps=1, learning_rate=1.0, decay_share=1.0, decay="cosine"))
    assert found[50] == pytest.approx(0.5)
    assert found[1] > 0.999 and found[99] < 0.001


def test_the_frame_transformers_own_schedule() -> None:
    """Warm-up over the first steps, then (base - end) (1 - s / D)^p + end at once."""
    train = Train(steps=20, warmup_steps=5, learning_rate=1e-3, final_rate=1e-7, decay_share=0.75, decay_power=2.0)
    after = np.arange(15) / 15
    assert rates(train)[5:20] == pytest.approx((1e-3 - 1e-7) * (1 - after) ** 2 + 1e-7)
