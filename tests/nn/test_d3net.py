"""D3Net: published sizes, the sums that stand for dense connections, and masks of several stems."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rtsep.nn.check import check_network
from rtsep.nn.cost import multiply_adds_per_frame
from rtsep.nn.d3net import SIZES, Blocks, D3Net, Dense, Size, StemNet, dilated_dense
from rtsep.nn.windowed import Windowed

TOY = Size(
    split=16,
    low=Blocks(k=(4, 3, 4), L=(3, 2, 2), M=(2, 2, 2)),
    high=Blocks(k=(2, 2, 2), L=(1, 1, 1), M=(1, 1, 1)),
    full=Blocks(k=(3, 2, 3), L=(2, 3, 2), M=(2, 1, 3)),
)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "toy", TOY)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("vocals", 2_963_309),
        ("other", 2_963_309),
        ("drums", 2_869_186),
        ("bass", 2_415_724),
        ("lite", 910_503),
    ],
)
def test_the_published_sizes(size: str, expected: int) -> None:
    with torch.device("meta"):
        assert parameters(StemNet(SIZES[size], 2, 1600)) == expected


@pytest.mark.parametrize(("size", "expected"), [("vocals", 20.2e9), ("drums", 18.1e9), ("bass", 13.1e9)])
def test_the_multiply_adds_of_a_second(size: str, expected: float) -> None:
    with torch.device("meta"):
        network = Windowed(D3Net((size, "instrumental"), [size]), 256, 256)
    assert 44100 / 1024 * multiply_adds_per_frame(network) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bins", [1024, 1600])
def test_every_size_takes_its_bins_and_multiples_of_16_frames(size: str, bins: int) -> None:
    with torch.device("meta"):
        assert StemNet(SIZES[size], 2, bins)(torch.empty(1, 2, 48, bins)).shape == (1, 2, 48, bins)


@torch.inference_mode()
def test_sums_stand_for_dense_connections() -> None:
    """A dense layer's convolution over everything before it is the sum of convolutions over each part."""
    torch.manual_seed(1)
    x = torch.randn(1, 4, 3, 5)
    dense = Dense(2, nn.Conv2d(4, 6, 1), [nn.Conv2d(2, 4, 1), nn.Conv2d(2, 2, 1)])
    first, (second, third) = dense.first(x), dense.rest
    a = first[:, 0:2]
    b = first[:, 2:4] + second(a)[:, 0:2]
    c = first[:, 4:6] + second(a)[:, 2:4] + third(b)
    torch.testing.assert_close(dense(x), c)


def test_layers_are_dilated_by_powers_of_two() -> None:
    block = dilated_dense(3, 2, 5)
    convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    assert [conv.dilation[0] for conv in convolutions] == [1, 2, 4, 8, 16]
    assert [(conv.in_channels, conv.out_channels) for conv in convolutions] == [
        (3, 10),
        (2, 8),
        (2, 6),
        (2, 4),
        (2, 2),
    ]


@torch.inference_mode()
def test_masks_share_the_mixture_out_and_the_last_stem_may_be_the_rest() -> None:
    torch.manual_seed(2)
    x = torch.rand(1, 2, 80, 16)
    for stems, sizes in ((("vocals", "instrumental"), ["toy"]), (("vocals", "other"), ["toy", "toy"])):
        network = D3Net(stems, sizes, bins=80).eval()
        masks = network(x)
        assert masks.shape == (1, 2, 2, 81, 16)
        torch.testing.assert_close(masks.sum(dim=1), torch.ones(1, 2, 81, 16))
        torch.testing.assert_close(masks[..., 80, :], masks[..., 16:80, :].mean(dim=-2))
        estimates = network.estimates(x)
        assert estimates.min() >= 0
        if len(sizes) == 1:
            torch.testing.assert_close(estimates[:, 1], (x - estimates[:, 0]).clamp(min=0))


@torch.inference_mode()
def test_silence_is_shared_out_evenly() -> None:
    network = D3Net(("vocals", "other"), ["toy", "toy"], bins=80).eval()
    for stem in network.networks:
        stem.output_shift.zero_()  # type: ignore[union-attr, operator]
        stem.output_scale.zero_()  # type: ignore[union-attr, operator]
    torch.testing.assert_close(network(torch.zeros(1, 2, 80, 16)), torch.full((1, 2, 2, 81, 16), 0.5))


def test_every_weight_learns() -> None:
    torch.manual_seed(3)
    network = D3Net(("vocals", "instrumental"), ["toy"], bins=80).train()
    network.teach(torch.rand(2, 2, 80, 16), torch.rand(2, 2, 2, 80, 16)).square().mean().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_it_streams() -> None:
    torch.manual_seed(3)
    network = D3Net(("vocals", "instrumental"), ["toy"], bins=80)
    assert check_network(Windowed(network, frames=16, stride=8, lookahead=8, fade=4).eval()) == []


@pytest.mark.parametrize(
    ("sizes", "bins"), [(["tiny"], 1600), ([], 1600), (["lite"] * 3, 1600), (["lite"], 1000), (["lite"], 256)]
)
def test_what_does_not_fit_is_refused(sizes: list[str], bins: int) -> None:
    with pytest.raises(ValueError, match="sizes|bins"):
        D3Net(("vocals", "instrumental"), sizes, bins=bins)
