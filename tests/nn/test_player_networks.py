"""The AI player's networks: their sizes, their parts, and that they share the mixture out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rtsep.nn.check import check_network
from rtsep.nn.linear_tokens import MixedNet, TokenNet, crossed
from rtsep.nn.masks import EstimateNetwork
from rtsep.nn.player_system import OTHER_UNET, SMALL_UNET, SYSTEM_STEMS, BassNet, PlayerSystem, PlayerTransformer
from rtsep.nn.reduced_unet import PlayerUNet, ReducedUNet
from rtsep.nn.windowed import Windowed, WindowNetwork

STEMS = ("vocals", "instrumental")
TOKENS = 8_744_834
CROSSING = 592_896


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def tiny_system(**arguments: object) -> PlayerSystem:
    torch.manual_seed(1)
    sizes = {"bins": 64, "frames": 32, "width": 16, "heads": 2, "feed_forward": 24, "layers": 3, "bass_bins": 20}
    return PlayerSystem(**{**sizes, **arguments})  # type: ignore[arg-type]


def tiny_networks() -> dict[str, WindowNetwork]:
    torch.manual_seed(2)
    sizes = {"bins": 64, "frames": 32, "width": 16, "heads": 2, "feed_forward": 24, "layers": 2}
    return {
        "unet": PlayerUNet(STEMS, bins=64, filters=(4, 8, 12)),
        "unet magnitude": PlayerUNet(STEMS, bins=64, filters=(4, 8, 12), head="magnitude"),
        "tokens": PlayerTransformer(STEMS, **sizes, filters=()),  # type: ignore[arg-type]
        "mixed": PlayerTransformer(STEMS, **sizes, filters=(4, 8)),  # type: ignore[arg-type]
        "system": tiny_system(),
    }


def test_the_proposed_sizes() -> None:
    with torch.device("meta"):
        assert parameters(ReducedUNet(2, 2, (16, 32, 64, 128, 256, 512))) == 9_030_130  # 9.03 M
        assert parameters(TokenNet(2, 1024, 192, 384, 8, 1536, 4)) == TOKENS  # 8.74 M
        assert parameters(TokenNet(2, 1024, 192, 384, 8, 1536, 6)) == 12_293_762  # 12.3 M
        assert parameters(ReducedUNet(2, 2, SMALL_UNET)) == 565_418  # 0.57 M
        assert parameters(BassNet(2, 128, 192)) == 685_058  # 0.69 M
        assert parameters(BassNet(2, 1024, 192)) == 1_143_810  # 1.14 M
        assert parameters(ReducedUNet(8, 2, OTHER_UNET)) == 1_435_794  # 1.44 M
        # 20.8 M, and what one layer's crossing adds to vocals and drums
        assert parameters(PlayerSystem()) == 2 * (TOKENS + 565_418 + 10) + 685_058 + 1_435_794 + 2 * CROSSING
        assert parameters(PlayerTransformer(STEMS, filters=())) == 2 * TOKENS


@pytest.mark.parametrize("name", tiny_networks())
@torch.inference_mode()
def test_masks_share_the_mixture_out(name: str) -> None:
    network = tiny_networks()[name].eval()
    masks = network(torch.rand(2, 2, 64, 32))
    assert masks.shape == (2, len(network.stems), 2, 65, 32)
    assert masks.min() >= 0
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(2, 2, 65, 32))


@pytest.mark.parametrize("name", tiny_networks())
def test_every_network_streams(name: str) -> None:
    network = Windowed(tiny_networks()[name], frames=32, stride=8, lookahead=8, fade=8, input_scale="running_max")
    assert check_network(network.eval()) == []


@pytest.mark.parametrize("name", tiny_networks())
def test_every_weight_learns(name: str) -> None:
    network = tiny_networks()[name].train()
    network.teach(torch.rand(2, 2, 64, 32), torch.rand(2, len(network.stems), 2, 64, 32)).square().mean().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@torch.inference_mode()
def test_training_sees_each_estimate_by_itself_and_playing_their_shares() -> None:
    network = tiny_networks()["unet magnitude"].eval()
    assert isinstance(network, EstimateNetwork)
    x = 0.01 + torch.rand(1, 2, 64, 32)
    estimates = network.estimates(x)
    taught = network.teach(x, torch.zeros(1, 2, 2, 64, 32))
    torch.testing.assert_close(taught[:, :, :, :64] * x[:, None], estimates)
    shares = estimates.square() / estimates.square().sum(dim=1, keepdim=True)
    sounding = (estimates.sum(dim=1, keepdim=True) > 0.02).expand_as(shares)
    assert sounding.any()
    torch.testing.assert_close(network(x)[:, :, :, :64][sounding], shares[sounding], atol=1e-3, rtol=0)


def test_a_unet_keeps_sizes_and_thins_its_skips() -> None:
    unet = ReducedUNet(3, 5, (8, 64, 128))
    assert unet(torch.rand(1, 3, 32, 16)).shape == (1, 5, 32, 16)
    assert [conv.out_channels for conv in unet.thin] == [8, 16]  # type: ignore[union-attr]


@torch.inference_mode()
def test_tokens_are_linear_outside_the_layers() -> None:
    network = TokenNet(2, 16, 8, 12, 2, 24, layers=0).eval()
    a, b = torch.rand(1, 2, 16, 8), torch.rand(1, 2, 16, 8)
    zero = network(torch.zeros_like(a))
    torch.testing.assert_close(network(a + b) - zero, network(a) + network(b) - 2 * zero, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_mixing_starts_as_the_sum() -> None:
    torch.manual_seed(3)
    network = MixedNet(TokenNet(2, 16, 8, 12, 2, 24, 1), 2, (4, 8)).eval()
    assert network.unet is not None
    x = torch.rand(1, 2, 16, 8)
    torch.testing.assert_close(network(x), torch.relu(network.tokens(x) + network.unet(x)))


@torch.inference_mode()
def test_networks_cross_in_one_layer_both_ways_by_what_they_had_before_it() -> None:
    torch.manual_seed(4)
    first, second = (MixedNet(TokenNet(2, 16, 8, 12, 2, 24, 3, crossing=1), 2, ()).eval() for _ in range(2))
    x = torch.rand(1, 2, 16, 8)
    a, b = crossed(first, second, x)
    ours = first.tokens.layers[0](first.tokens.embed(x))
    theirs = second.tokens.layers[0](second.tokens.embed(x))
    mine = first.tokens.layers[2](first.tokens.layers[1](ours, theirs))
    other = second.tokens.layers[2](second.tokens.layers[1](theirs, ours))
    torch.testing.assert_close(a, torch.relu(first.tokens.restore(mine)))
    torch.testing.assert_close(b, torch.relu(second.tokens.restore(other)))
    assert not torch.allclose(a, first(x))


@torch.inference_mode()
def test_bass_ends_where_its_bins_end() -> None:
    torch.manual_seed(5)
    bass = BassNet(2, 40, 8, width=16, heads=2, feed_forward=8, layers=1).eval()
    answer = bass(torch.rand(1, 2, 100, 8))
    assert answer.shape == (1, 2, 100, 8)
    assert answer[:, :, 40:].abs().max() == 0
    edge = bass.get_buffer("edge")[:, 0]
    assert (edge[:24] == 1).all() and (edge[24:].diff() < 0).all() and edge[-1] > 0


def test_other_is_fed_with_all_stems_and_its_gradient_stops_unless_joint() -> None:
    x, stems = torch.rand(2, 2, 64, 32), torch.rand(2, 4, 2, 64, 32)
    for joint in (True, False):
        system = tiny_system(joint=joint)
        system.TRUE_STEMS_SHARE = 0.0
        fed: list[torch.Tensor] = []
        system.other.register_forward_pre_hook(lambda _, inputs, fed=fed: fed.append(inputs[0]))
        system.teach(x, stems)
        assert fed[0].shape == (2, 8, 64, 32)
        assert torch.equal(fed[0][:, :2], x)
        assert fed[0].requires_grad is joint


def test_other_is_sometimes_fed_with_the_true_stems() -> None:
    system = tiny_system().eval()
    system.TRUE_STEMS_SHARE = 1.0
    fed: list[torch.Tensor] = []
    system.other.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    x, stems = torch.rand(2, 2, 64, 32), torch.rand(2, 4, 2, 64, 32)
    system.teach(x, stems)
    assert torch.equal(fed[0][:, 2:], stems[:, :3].flatten(1, 2))


@pytest.mark.parametrize(
    "arguments",
    [{"stems": SYSTEM_STEMS[::-1]}, {"bins": 1000}, {"crossing": 4}, {"bass_bins": 4}, {"heads": 7}],
    ids=["stems", "bins", "crossing", "bass", "heads"],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="stems|bins|crossing"):
        tiny_system(**arguments)
    with pytest.raises(ValueError, match="head"):
        PlayerUNet(STEMS, head="mouth")
