"""The autoregressive frame transformer: causal, and what it generates is what it was taught to."""

from __future__ import annotations

import pytest
import torch

from rtsep.nn.autoregressive import AutoregressiveFrameTransformer
from rtsep.nn.windowed import Windowed

FRAMES = 23


def small(**arguments: object) -> AutoregressiveFrameTransformer:
    """Every parameter random, so that nothing hides behind a zero."""
    torch.manual_seed(5)
    sizes = {"bins": 32, "width": 2, "encoders": 1, "decoders": 2, "heads": 2, "feed_forward": 8, "window": 26}
    network = AutoregressiveFrameTransformer(**{**sizes, **arguments})  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network.eval()


def music(frames: int = FRAMES, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 2, 32, frames, generator=torch.Generator().manual_seed(seed))


def test_the_published_size() -> None:
    with torch.device("meta"):
        network = AutoregressiveFrameTransformer()
    assert sum(parameter.numel() for parameter in network.parameters()) == 173_405_021


@pytest.mark.parametrize("training", [False, True], ids=["playing", "training"])
@pytest.mark.parametrize("frame", [0, 1, 11, 20])
def test_a_changed_frame_alters_nothing_before_it_nor_itself(frame: int, training: bool) -> None:
    network = small(dropout=0.0).train(training)
    mixture, target = music(), music(seed=1)
    changed = target.clone()
    changed[..., frame:] = 1 - changed[..., frame:]
    with torch.no_grad():
        before, after = network.predict(mixture, target), network.predict(mixture, changed)
    torch.testing.assert_close(after[..., : frame + 1], before[..., : frame + 1], atol=0, rtol=0)
    assert (after[..., frame + 1 :] - before[..., frame + 1 :]).abs().max() > 1e-4


def test_a_frame_depends_on_the_whole_mixture_and_on_all_targets_before() -> None:
    network = small()
    mixture, target = music().requires_grad_(), music(seed=1).requires_grad_()
    network.predict(mixture, target)[..., 12].sum().backward()
    assert mixture.grad is not None and target.grad is not None
    assert (mixture.grad.abs().amax(dim=(0, 1, 2)) > 0).all()
    touched = target.grad.abs().amax(dim=(0, 1, 2)) > 0
    assert touched[:12].all() and not touched[12:].any()


def test_generation_is_prediction_from_its_own_frames() -> None:
    network = small().double()  # what a frame is rounded to, all after it hear
    mixture = music().double()
    generated = network.generate(mixture)
    with torch.no_grad():
        predicted = torch.minimum(network.predict(mixture, generated), mixture)
    torch.testing.assert_close(generated, predicted, atol=1e-5, rtol=0)
    assert (generated > 0).any() and (generated <= mixture).all()


@pytest.mark.parametrize("known", [1, 9, 22])
def test_generation_goes_on_from_given_frames(known: int) -> None:
    network = small().double()
    mixture = music().double()
    generated = network.generate(mixture)
    again = network.generate(mixture, generated[..., :known], stop=FRAMES)
    torch.testing.assert_close(again, generated, atol=1e-5, rtol=0)
    assert network.generate(mixture, stop=4).shape[-1] == 4


def test_a_sliding_window_reaches_the_end_of_any_recording() -> None:
    network = small()
    mixture = music(40)
    for advance in (1, 5, 13):
        masks = network.slide(mixture, advance)
        assert masks.shape == (2, 2, 2, 33, 40)
        assert masks.min() >= 0 and masks.max() <= 1
    padded = torch.nn.functional.pad(mixture, (0, 1))[..., :26]
    first_half = network.generate(padded, stop=13)
    share = (first_half / mixture[..., :13].clamp(min=1e-4)).clamp(0, 1)
    torch.testing.assert_close(masks[:, 0, :, :32, :13], share, atol=1e-4, rtol=0)


def test_it_is_taught_by_true_frames_and_learns() -> None:
    network = small(dropout=0.0).train()
    mixture = music()
    stems = torch.stack([0.7 * mixture, 0.3 * mixture], dim=1)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        masks = network.teach(mixture, stems)
        assert masks.shape == (2, 2, 2, 33, FRAMES)
        loss = (masks[:, :, :, :32] * mixture[:, None] - stems).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert losses[-1] < 0.8 * losses[0]


@torch.inference_mode()
def test_it_plays_by_windows() -> None:
    network = Windowed(small(), frames=24, stride=24, input_scale="running_max").eval()
    masks = network(3 * music(30))
    assert masks.shape == (2, 2, 2, 33, 30) and masks.isfinite().all()
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(2, 2, 33, 30))
