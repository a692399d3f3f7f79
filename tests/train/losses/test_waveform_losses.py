"""Synthesis inside the training loop gives what is played; losses on waveforms know better from worse."""

import numpy as np
import pytest
import torch

from rtsep.dsp.song_stft import analyse
from rtsep.dsp.song_stft import synthesise as play
from rtsep.recipe import Stft
from rtsep.train.losses.waveform_losses import LOSSES, loss_samples, low_pass, synthesise

STFT = Stft(bins=300)
FRAMES, WARMUP = 12, 2
JUDGED = loss_samples(FRAMES, WARMUP, STFT)
ALL_BINS = torch.full((3,), 2049)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("latency", ["standard", "medium", "low"])
def test_what_is_judged_is_what_is_played(latency: str) -> None:
    mixture = noise(1, 2, 2, STFT.n_fft + (FRAMES - 1) * STFT.hop)
    masks = torch.rand(2, 3, 2, STFT.bins + 1, FRAMES, generator=torch.Generator().manual_seed(2))
    judged = synthesise(masks, mixture, ALL_BINS[:2], JUDGED, STFT, latency).numpy()
    for crop in range(2):
        frames = analyse(mixture[crop].numpy())
        around = np.ones((3, 2, STFT.bins + 1, len(frames)), np.float32)
        around[..., 3 : 3 + FRAMES] = masks[crop].numpy()
        played = play(frames, around, mixture.shape[2], latency=latency)
        np.testing.assert_allclose(judged[crop], played[..., JUDGED], atol=1e-6)


def test_the_gradient_reaches_every_judged_frame() -> None:
    mixture = noise(3, 1, 2, STFT.n_fft + (FRAMES - 1) * STFT.hop)
    masks = torch.full((1, 2, 2, STFT.bins + 1, FRAMES), 0.5, requires_grad=True)
    synthesise(masks, mixture, ALL_BINS[:1], JUDGED, STFT, "low").square().sum().backward()
    assert masks.grad is not None
    reached = masks.grad.abs().sum(dim=(0, 1, 2, 3)) > 0
    assert reached[WARMUP + 2 : FRAMES - 2].all()
    assert not reached[:WARMUP].any()


@pytest.mark.parametrize("latency", ["standard", "medium", "low"])
def test_a_low_passed_stem_is_what_the_best_masks_give_of_it(latency: str) -> None:
    samples = STFT.n_fft + (FRAMES - 1) * STFT.hop
    time_s = torch.arange(samples) / STFT.sample_rate
    low, high = (0.1 * torch.sin(2 * torch.pi * hertz * time_s).expand(1, 1, 2, -1) for hertz in (1000, 9000))
    cut = low_pass(low + high, torch.tensor([round(5000 / 44100 * 4096)]), JUDGED, STFT, latency)
    torch.testing.assert_close(cut, low[..., JUDGED], atol=1e-3, rtol=0)
    whole = low_pass((low + high).expand(2, 3, 2, -1), torch.tensor([2049, 2048]), JUDGED, STFT, latency)
    torch.testing.assert_close(whole[0], (low + high).expand(1, 3, 2, -1)[0, ..., JUDGED], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_nearer_is_better_and_the_truth_is_nothing(name: str) -> None:
    references = noise(4, 3, 2, 2, 5003)
    references[1, 0] = 0  # a stem that pauses
    far = noise(5, 3, 2, 2, 5003)
    near = references + 0.2 * far
    assert (LOSSES[name](references + far, references) > LOSSES[name](near, references)).all()
    assert (LOSSES[name](near, references) > 0.01).all()
    assert LOSSES[name](references, references).abs().max() < 1e-6


@pytest.mark.parametrize("name", LOSSES)
def test_the_level_of_a_crop_does_not_matter(name: str) -> None:
    references, estimates = noise(6, 2, 2, 2, 4100), noise(7, 2, 2, 2, 4100)
    quiet = LOSSES[name](0.05 * estimates, 0.05 * references)
    torch.testing.assert_close(quiet, LOSSES[name](estimates, references), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_at_the_truth_and_in_silence(name: str) -> None:
    for references in (noise(8, 1, 2, 2, 3000), torch.zeros(1, 2, 2, 3000)):
        estimates = references.clone().requires_grad_()
        LOSSES[name](estimates, references).sum().backward()
        assert estimates.grad is not None and estimates.grad.isfinite().all()
