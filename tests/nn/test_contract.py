"""The streaming contract, asked of every network of ours with random and with trained weights."""

from pathlib import Path

import pytest
import torch

from rtsep.bundle import Bundle, find_bundle
from rtsep.nn.check import check_network, stepped
from rtsep.nn.constant import ConstantMask
from rtsep.nn.contract import StreamingNetwork, spread_high_band
from rtsep.nn.frame_transformer import FrameTransformer

MODELS = Path(__file__).parent.parent.parent / "models"
STEMS = ("vocals", "drums", "bass")


def small(context: int = 9, seed: int = 3) -> FrameTransformer:
    """A frame transformer whose ring wraps soon; every parameter random, so that nothing hides behind a zero."""
    torch.manual_seed(seed)
    network = FrameTransformer(
        STEMS, bins=128, widths=(6, 5, 4), width=64, heads=4, feed_forward=32, layers=(2, 1, 1), context=context
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def music(network: StreamingNetwork, frames: int, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(frames)
    return 10 * torch.rand(batch, network.channels, network.bins, frames, generator=generator) ** 4


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 32, 50])
@pytest.mark.parametrize("context", [1, 9, 20])
@torch.inference_mode()
def test_forward_equals_steps_past_two_wraps_of_the_ring(chunk: int, context: int) -> None:
    network = small(context)
    x = music(network, 2 * (context + chunk) + 11, batch=2)
    masks = stepped(network, x, chunk, network.init_state(2, chunk))
    torch.testing.assert_close(masks, network.forward(x, chunk=chunk), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_roomier_ring_changes_nothing() -> None:
    network = small()
    x = music(network, 60)
    tight = stepped(network, x, 3, network.init_state(1, 3))
    roomy = stepped(network, x, 3, network.init_state(1, 17))
    torch.testing.assert_close(tight, roomy, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_long_recordings_are_computed_in_bands_with_the_same_result() -> None:
    network = small(context=70)
    x = music(network, 333)
    for chunk in (1, 64, 333):
        masks = stepped(network, x, chunk, network.init_state(1, chunk))
        torch.testing.assert_close(masks, network.forward(x, chunk=chunk), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_reset_in_mid_stream_forgets_everything() -> None:
    network = small()
    x = music(network, 31)
    state = network.init_state(1, 4)
    fresh = stepped(network, x, 4, state)
    state.reset()
    assert torch.equal(stepped(network, x, 4, state), fresh)


@torch.inference_mode()
def test_a_restored_snapshot_goes_on_to_the_bit() -> None:
    network = small()
    x = music(network, 40)
    state = network.init_state(1, 5)
    stepped(network, x, 5, state)
    saved = state.snapshot()
    first = stepped(network, x, 3, state)
    stepped(network, 5 * x, 2, state)
    state.restore(saved)
    assert torch.equal(stepped(network, x, 3, state), first)


def test_a_snapshot_of_another_shape_is_refused() -> None:
    network = small()
    with pytest.raises(ValueError, match="another shape"):
        network.init_state(1, 5).restore(network.init_state(1, 6).snapshot())


@pytest.mark.parametrize("chunk", [1, 2, 5, 16, 64])
def test_a_mask_depends_on_its_chunk_to_the_end_and_on_nothing_beyond(chunk: int) -> None:
    network = small(context=16)
    frames = 48
    for frame in (0, 17, 30):
        x = music(network, frames).requires_grad_()
        masks = network.forward(x, chunk=chunk)
        (masks[0, ..., frame] * torch.randn(masks.shape[1:4])).sum().backward()
        assert x.grad is not None
        touched = x.grad[0].abs().amax(dim=(0, 1)) > 0
        last = min((frame // chunk + 1) * chunk - 1, frames - 1)
        assert not touched[last + 1 :].any()
        assert touched[min(last, frame + 15)]


def test_state_is_written_in_place_and_never_grows() -> None:
    network = small()
    state = network.init_state(1, 4)
    before = [tensor.data_ptr() for tensor in state.tensors()]
    with torch.inference_mode():
        stepped(network, music(network, 50), 3, state)
    assert [tensor.data_ptr() for tensor in state.tensors()] == before


@torch.inference_mode()
def test_masks_sum_to_one_over_the_stems() -> None:
    network = small()
    masks = network.forward(music(network, 21), chunk=4)
    assert masks.shape == (1, 3, 2, 129, 21)
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(1, 2, 129, 21))


@torch.inference_mode()
def test_a_quieter_song_gets_the_same_masks() -> None:
    network = small()
    x = music(network, 40)
    torch.testing.assert_close(network.forward(0.1 * x, chunk=1), network.forward(x, chunk=1), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_silence_holds_the_scale_and_the_scale_forgets_what_left_the_context() -> None:
    network = small(context=12)
    loud = 50 * music(network, 30)
    for pause in (4, 300):
        silence = torch.zeros_like(loud[..., :1]).expand(-1, -1, -1, pause)
        after = network.scale(torch.cat([loud, silence, loud], dim=3).permute(0, 3, 2, 1))[0, -1]
        torch.testing.assert_close(after, network.scale(loud.permute(0, 3, 2, 1))[0, -1])


@pytest.mark.parametrize("shape", [(2, 128, 1), (1, 1, 128, 1), (1, 2, 64, 1), (1, 2, 128, 0), (1, 2, 128, 5)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    network = small()
    with pytest.raises(ValueError, match="expected|at most"):
        network.step(torch.zeros(shape), network.init_state(1, 4))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="two stems"):
        FrameTransformer(["vocals"])
    with pytest.raises(ValueError, match="multiple"):
        FrameTransformer(STEMS, bins=1000)


def test_constant_masks_keep_the_contract() -> None:
    network = ConstantMask(STEMS, [0.0, 0.25, 2.0], bins=16)
    assert check_network(network) == []
    masks = network.forward(torch.rand(1, 2, 16, 3))
    assert masks[0, :, 1, 16, 2].tolist() == [0.0, 0.25, 2.0]
    with pytest.raises(ValueError, match="one gain"):
        ConstantMask(STEMS, [1.0])


class Peeking(ConstantMask):
    """Breaks the contract: forward knows the whole recording."""

    def forward(self, magnitudes: torch.Tensor, chunk: int | None = None) -> torch.Tensor:
        return super().forward(magnitudes) * magnitudes.mean()


def test_the_check_names_what_a_network_breaks() -> None:
    problems = check_network(Peeking(STEMS, [0.1, 0.2, 0.3], bins=16))
    assert any("beyond its chunk" in problem for problem in problems)
    assert any("forward and step differ" in problem for problem in problems)


@pytest.mark.parametrize("recipe", sorted(MODELS.glob("*/recipe.toml")), ids=lambda recipe: recipe.parent.name)
def test_every_bundle_of_the_repository_keeps_the_contract(recipe: Path) -> None:
    bundle = Bundle(recipe.parent)
    if not bundle.weights_path.exists():
        pytest.skip(f"{bundle.name} has no weights yet")
    assert check_network(bundle.load_network()) == []


@torch.inference_mode()
def test_the_default_bundle_streams_chunks_longer_than_its_context() -> None:
    network = find_bundle().load_network()
    chunk = network.context_frames + 9
    x = music(network, 2 * (network.context_frames + chunk) + 3)
    masks = stepped(network, x, chunk, network.init_state(1, chunk))
    torch.testing.assert_close(masks, network.forward(x, chunk=chunk), atol=1e-5, rtol=0)


def test_the_high_band_gain_rules_every_bin_above() -> None:
    masks = torch.arange(2 * 5 * 3, dtype=torch.float32).view(2, 5, 3)
    spread = spread_high_band(masks, 9)
    assert spread.shape == (2, 9, 3)
    assert torch.equal(spread[:, :4], masks[:, :4])
    assert torch.equal(spread[:, 4:], masks[:, 4:].expand(2, 5, 3))
