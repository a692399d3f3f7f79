"""The vocal remover of tsurumeso: its published size, its masks, and that it streams."""

from __future__ import annotations

import pytest
import torch

from rtsep.nn.cascaded import BandNet, CascadedNet
from rtsep.nn.check import check_network
from rtsep.nn.windowed import Windowed


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def small(version: int = 5) -> CascadedNet:
    torch.manual_seed(1)
    return CascadedNet(bins=64, version=version, width=4, lstm_width=8).eval()


def test_the_published_sizes() -> None:
    with torch.device("meta"):
        network = CascadedNet()
        assert parameters(network) == 14_740_882
        assert len(network.state_dict()) == 689
        assert parameters(network.stage1_low) == 1_544_994
        assert parameters(network.stage1_high) == 428_938
        assert parameters(network.stage2_low) == 5_579_586
        assert parameters(network.stage2_high) == 1_438_994
        assert parameters(network.stage3) == 5_748_258
        # a second pair of masks, and no auxiliary output
        assert parameters(CascadedNet(version=6)) == 14_740_882 - 24 * 2 + 32 * 2


@pytest.mark.parametrize("version", [5, 6])
@torch.inference_mode()
def test_masks_lie_between_0_and_1_and_rule_the_band_above(version: int) -> None:
    masks = small(version)(3 * torch.rand(2, 2, 64, 48))
    assert masks.shape == (2, 2, 2, 65, 48)
    assert masks.min() >= 0 and masks.max() <= 1
    assert torch.equal(masks[..., 63, :], masks[..., 64, :])
    complementary = torch.allclose(masks.sum(dim=1), torch.ones(2, 2, 65, 48))
    assert complementary == (version == 5)


def test_every_weight_but_the_carried_ones_learns() -> None:
    network = small().train()
    network(torch.rand(2, 2, 64, 32))[:, 0].square().mean().backward()
    untouched = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert untouched == {"auxiliary_out.weight"}


@torch.inference_mode()
def test_a_band_net_keeps_the_size_of_its_band() -> None:
    assert BandNet(3, 2, 32, 4).eval()(torch.rand(1, 3, 32, 16)).shape == (1, 2, 32, 16)


def test_it_streams_in_its_authors_segmentation() -> None:
    network = Windowed(small(), frames=32, stride=16, lookahead=8, input_scale="running_max").eval()
    assert check_network(network) == []


@pytest.mark.parametrize(
    "arguments",
    [{"stems": ["vocals", "instrumental"]}, {"version": 4}, {"bins": 1000}],
    ids=["stems", "version", "bins"],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"stems|version"):
        CascadedNet(**arguments)  # type: ignore[arg-type]
