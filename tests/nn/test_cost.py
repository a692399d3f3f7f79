"""What networks cost, told from their sizes."""

import pytest
import torch

from rtsep.nn.constant import ConstantMask
from rtsep.nn.cost import multiply_adds_per_frame
from rtsep.nn.frame_transformer import FrameTransformer
from rtsep.nn.spleeter import Spleeter
from rtsep.nn.windowed import Windowed


def test_a_u_net_of_spleeter_costs_what_it_does() -> None:
    with torch.device("meta"):
        network = Windowed(Spleeter(["vocals"]), 512, 512, lead=1)
    transposed = 3.88e9  # of 5×5, and computed as 6×6
    dilated = 0.017e9  # of 4×4 from one map, and computed as 5×5 from four quarters
    computed = 6.10e9 + (36 / 25 - 1) * transposed + (100 / 16 - 1) * dilated
    assert 512 * multiply_adds_per_frame(network) == pytest.approx(computed, rel=0.01)


def test_a_short_stride_costs_more() -> None:
    with torch.device("meta"):
        plain, often = (Windowed(Spleeter(["vocals"]), 128, stride) for stride in (128, 32))
    assert multiply_adds_per_frame(often) == 4 * multiply_adds_per_frame(plain)


def test_lstms_are_counted_as_if_frame_by_frame() -> None:
    frames, bins, units = 32, 64, 20
    with torch.device("meta"):
        network = Windowed(Spleeter(["vocals"], bins=bins, model="blstm", lstm_units=units), frames, frames)
    first, further = 2 * 4 * units * (2 * bins + units), 2 * 4 * units * (2 * units + units)
    assert multiply_adds_per_frame(network) == first + 2 * further + 2 * units * 2 * bins


def test_a_transformer_costs_more_than_its_matrices_and_constant_masks_nothing() -> None:
    network = FrameTransformer(["vocals", "instrumental"])
    matrices = sum(parameter.numel() for parameter in network.parameters() if parameter.ndim == 2)
    assert matrices < multiply_adds_per_frame(network) < 10 * matrices
    assert multiply_adds_per_frame(ConstantMask(["vocals"], [1.0])) == 0
