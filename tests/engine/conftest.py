"""What several tests of the engine share."""

from __future__ import annotations

import pytest

from rtsep.nn.frame_transformer import FrameTransformer
from tests.engine.pump_bench import STEMS


@pytest.fixture(scope="session")
def transformer() -> FrameTransformer:
    """A frame transformer of the default's context with few and random weights."""
    import torch

    torch.manual_seed(3)
    return FrameTransformer(stems=STEMS, widths=(8, 8, 8), width=256, layers=(1, 1, 1))
