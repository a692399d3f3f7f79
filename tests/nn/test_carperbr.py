"""carperbr's frame transformer: published sizes of its versions, and its two relative terms."""

from __future__ import annotations

import pytest
import torch

from rtsep.nn.band_attention import BandAttention, skew
from rtsep.nn.carperbr import CarperbrFrameTransformer
from rtsep.nn.check import check_network
from rtsep.nn.windowed import Windowed

SMALL = {"bins": 128, "width": 2, "heads": 2, "feed_forward": 16, "window": 12}


def small(**arguments: object) -> CarperbrFrameTransformer:
    torch.manual_seed(2)
    return CarperbrFrameTransformer(**{**SMALL, "encoders": 1, "decoders": 1, **arguments}).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"version": "A", "width": 24, "encoders": 0, "decoders": 3, "feed_forward": 2048}, 157_325_213),
        ({"version": "A", "width": 8, "encoders": 0, "decoders": 3, "feed_forward": 2048}, 156_795_693),
        ({"version": "B"}, 162_720_306),
        ({"version": "B", "width": 4}, 162_669_130),
        ({"version": "C"}, 162_985_970),
    ],
)
def test_the_published_sizes(arguments: dict[str, object], expected: int) -> None:
    with torch.device("meta"):
        network = CarperbrFrameTransformer(rel="transpose", **arguments)  # type: ignore[arg-type]
    assert sum(parameter.numel() for parameter in network.parameters()) == expected
    tensors = {"A": 1460, "B": 1410}
    if (version := str(arguments["version"])) in tensors:
        assert len(network.state_dict()) == tensors[version]


@pytest.mark.parametrize("version", ["A", "B", "C"])
@torch.inference_mode()
def test_masks_sum_to_one_and_rule_the_band_above(version: str) -> None:
    network = small(version=version, encoders=0 if version == "A" else 2)
    masks = network(torch.rand(2, 2, 128, 12))
    assert masks.shape == (2, 2, 2, 129, 12)
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(2, 2, 129, 12))
    assert torch.equal(masks[..., 127, :], masks[..., 128, :])


@torch.inference_mode()
def test_the_transposed_term_is_what_query_j_asks_of_column_i() -> None:
    torch.manual_seed(3)
    attention = BandAttention(6, 2, 5, taps=3, rel="transpose").eval()
    x, memory = torch.randn(1, 5, 6), torch.randn(1, 5, 6)
    queries, keys, values = attention.query(x), attention.key(memory), attention.value(memory)
    asked = queries @ attention.relative
    logits = torch.empty(1, 2, 5, 5)
    for i in range(5):
        for j in range(5):
            logits[:, :, i, j] = (queries[:, :, i] * keys[:, :, j]).sum(-1) + asked[:, :, j, i]
    expected = attention.out(((logits / 6**0.5).softmax(-1) @ values).transpose(1, 2).reshape(1, 5, 6))
    torch.testing.assert_close(attention(x, memory), expected)


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_the_skewed_term_is_by_distance(frames: int) -> None:
    by_distance = torch.randn(2, frames, 2 * frames - 1)
    skewed = skew(by_distance)
    assert skewed.shape == (2, frames, frames)
    for i in range(frames):
        for j in range(frames):
            assert torch.equal(skewed[:, i, j], by_distance[:, i, j - i + frames - 1])


@torch.inference_mode()
def test_the_same_distance_counts_the_same_in_any_number_of_frames() -> None:
    torch.manual_seed(4)
    attention = BandAttention(4, 1, 9, taps=1, rel="skew").eval()
    attention.key.linear.weight.zero_()
    x = torch.randn(1, 1, 4).expand(1, 9, 4)  # every frame asks the same
    asked = (attention.query(x) @ attention.relative)[0, 0, 0]
    values = torch.eye(4).repeat(3, 1)[:9]
    attention.value.linear.weight.copy_(torch.eye(4))
    long, short = attention(x, values[None]), attention(x[:, :4], values[None, :4])
    assert not torch.equal(long[:, :4], short)
    weights = ((asked[8 - 2 : 8 + 2]) * 4**-0.5).softmax(-1)  # of query 2 over keys 0 to 3
    value = attention.value(values[None, :4])[0, 0]
    torch.testing.assert_close(short[0, 2], attention.out(weights @ value))


@torch.inference_mode()
def test_transposed_tables_take_their_own_number_of_frames_only() -> None:
    with pytest.raises(ValueError, match="expected 12 frames"):
        small(rel="transpose")(torch.rand(1, 2, 128, 11))
    with pytest.raises(ValueError, match="at most 12 frames"):
        small()(torch.rand(1, 2, 128, 13))
    assert small()(torch.rand(1, 2, 128, 5)).shape[-1] == 5


@pytest.mark.parametrize("version", ["A", "B", "C"])
def test_every_weight_learns(version: str) -> None:
    network = small(version=version, encoders=0 if version == "A" else 1).train()
    network(torch.rand(1, 2, 128, 12))[:, 0].square().mean().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("rel", ["transpose", "skew"])
def test_it_streams_in_its_authors_segmentation(rel: str) -> None:
    network = Windowed(small(rel=rel), frames=12, stride=12, input_scale="running_max").eval()
    assert check_network(network) == []


@pytest.mark.parametrize(
    "arguments",
    [{"stems": ["vocals"]}, {"version": "D"}, {"rel": "none"}, {"version": "A"}, {"heads": 7}],
    ids=["stems", "version", "rel", "encoders", "heads"],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"stems|version|bins"):
        small(**arguments)
