"""The loss against its formula, written out in NumPy."""

import numpy as np
import pytest
import torch

from rtsep.train.losses import LEAST_ERROR, separation_loss


def material(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """masks (B, T, S, F, C), mixture (B, T, F, C), stems (B, S, T, F, C), weight (B, T, F)."""
    torch.manual_seed(seed)
    stems = torch.randn(3, 2, 5, 7, 2, dtype=torch.complex64)
    first = torch.rand(3, 5, 1, 7, 2)
    weight = (torch.rand(3, 5, 7) > 0.3).float()
    return torch.cat([first, 1 - first], dim=2), stems.sum(dim=1), stems, weight


def error_energy(masks: torch.Tensor, mixture: torch.Tensor, stems: torch.Tensor, weight: torch.Tensor) -> np.ndarray:
    """(B, S) of the mixture's."""
    error = (masks.permute(0, 2, 1, 3, 4) * mixture[:, None] - stems).abs().square().sum(dim=-1) * weight[:, None]
    whole = (mixture.abs().square().sum(dim=-1) * weight).sum(dim=(1, 2))
    return (error.sum(dim=(2, 3)) / whole[:, None]).numpy()


@pytest.mark.parametrize("energy_weight", [0.1, 1.0])
def test_the_energy_term_is_the_mean_logarithm_of_the_errors_share(energy_weight: float) -> None:
    tensors = material(1)
    added = separation_loss(*tensors, energy_weight) - separation_loss(*tensors)
    expected = energy_weight * np.log10(error_energy(*tensors) + LEAST_ERROR).mean()
    assert added.item() == pytest.approx(expected, rel=1e-4)


def test_true_masks_are_best_and_bins_of_no_weight_do_not_count() -> None:
    masks, mixture, _, weight = material(2)
    stems = masks.permute(0, 2, 1, 3, 4) * mixture[:, None]  # such that the masks are right
    right = separation_loss(masks, mixture, stems, weight, 0.5).item()
    assert separation_loss(0.9 * masks, mixture, stems, weight, 0.5).item() > right + 0.1
    unjudged = torch.where((weight > 0)[:, :, None, :, None], masks, torch.zeros(()))
    assert separation_loss(unjudged, mixture, stems, weight, 0.5).item() == pytest.approx(right, abs=1e-6)
