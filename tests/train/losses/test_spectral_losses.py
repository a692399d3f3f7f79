"""The losses on spectra against their formulas, written out in NumPy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from rtsep.recipe import Stft
from rtsep.train.losses.spectral_losses import LEAST_ERROR, LOSSES, Target, bin_weights, loss_bins
from rtsep.train_settings import Losses, Train

STFT = Stft(bins=128)
BINS = loss_bins(STFT, torch.device("cpu"))


def material(seed: int) -> tuple[torch.Tensor, Target]:
    """Masks (B, T, S, F, C) that are wrong, for stems of any phase; weights of many sizes, also none."""
    torch.manual_seed(seed)
    stems = torch.randn(3, 2, 5, 7, 2, dtype=torch.complex64)
    first = torch.rand(3, 5, 1, 7, 2)
    weight = torch.rand(3, 7) * (torch.rand(3, 7) > 0.3)
    return torch.cat([first, 1 - first], dim=2), Target(stems.sum(dim=1), stems, weight)


FORMULAS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "separation": lambda m, x, s: np.abs(m * x - s) + np.abs(np.sqrt(m * np.abs(x)) - np.sqrt(np.abs(s))),
    "magnitude": lambda m, x, s: np.abs(m * np.abs(x) - np.abs(s)),
    "compressed": lambda m, x, s: ((m * np.abs(x)) ** 0.3 - np.abs(s) ** 0.3) ** 2,
    "complex": lambda m, x, s: np.abs(m * x - s),
}


def by_formula(name: str, masks: torch.Tensor, target: Target) -> np.ndarray:
    """(B, S): weighted means over frames, bins and channels."""
    m, x, s = masks.permute(0, 2, 1, 3, 4).numpy(), target.mixture[:, None].numpy(), target.stems.numpy()
    weight = np.broadcast_to(target.weight.numpy()[:, None, None, :, None], s.shape)
    if name == "log_energy":
        share = (weight * np.abs(m * x - s) ** 2).sum(axis=(2, 3, 4)) / (weight * np.abs(x) ** 2).sum(axis=(2, 3, 4))
        return np.log10(share + LEAST_ERROR)
    return (weight * FORMULAS[name](m, x, s)).sum(axis=(2, 3, 4)) / weight.sum(axis=(2, 3, 4))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_formula(name: str) -> None:
    masks, target = material(1)
    np.testing.assert_allclose(LOSSES[name](masks, target).numpy(), by_formula(name, masks, target), rtol=1e-2)


@pytest.mark.parametrize("name", LOSSES)
def test_true_masks_are_best_and_bins_of_no_weight_do_not_count(name: str) -> None:
    masks, target = material(2)
    target = Target(target.mixture, masks.permute(0, 2, 1, 3, 4) * target.mixture[:, None], target.weight)
    right = LOSSES[name](masks, target)
    assert (LOSSES[name](0.8 * masks, target) > right + 1e-3).all()
    judged = (target.weight > 0)[:, None, None, :, None]
    assert torch.allclose(LOSSES[name](torch.where(judged, masks, 0.0), target), right, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_where_nothing_sounds(name: str) -> None:
    masks, target = material(3)
    masks.requires_grad_()
    silent = Target(torch.zeros_like(target.mixture), torch.zeros_like(target.stems), target.weight)
    LOSSES[name](masks, silent).sum().backward()
    assert masks.grad is not None and masks.grad.isfinite().all()


def test_every_weight_of_a_recipe_has_its_loss() -> None:
    from rtsep.train.losses import waveform_losses as waveforms

    assert set(Losses.__struct_fields__) == LOSSES.keys() | waveforms.LOSSES.keys()


def test_auditory_weights_let_every_filter_of_the_ear_count_the_same() -> None:
    weights = bin_weights(BINS, STFT, Train(auditory=True))
    hertz = BINS * STFT.sample_rate / STFT.n_fft
    assert weights.mean().item() == pytest.approx(1)
    at = [int((hertz - centre).abs().argmin()) for centre in (100.0, 1000.0)]
    erb_hz = [24.7 * (4.37 * float(hertz[index]) / 1000 + 1) for index in at]
    assert (weights[at[0]] / weights[at[1]]).item() == pytest.approx(erb_hz[1] / erb_hz[0], rel=1e-5)


def test_band_weights_hold_from_their_edge_to_the_next() -> None:
    weights = bin_weights(BINS, STFT, Train(band_weights=((300.0, 4.0), (1000.0, 0.5))))
    hertz = BINS * STFT.sample_rate / STFT.n_fft
    below, low, high = (weights[at] for at in (hertz < 300, (hertz >= 300) & (hertz < 1000), hertz >= 1000))
    for part, factor in ((low, 4.0), (high, 0.5)):
        assert torch.allclose(part / below[0], torch.full_like(part, factor))
    assert torch.allclose(below, below[0].expand_as(below))
