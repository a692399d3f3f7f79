"""The losses of a batch: the same however it is cut up, and blind to what nobody knows."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from msgspec.structs import replace

from rtsep.errors import RtsepError
from rtsep.recipe import Recipe, Stft
from rtsep.train.crops.batch import CropBatch
from rtsep.train.losses.criterion import Criterion
from rtsep.train_settings import Losses, Train

FRAMES = 11
EVERYTHING = Losses(**dict.fromkeys(Losses.__struct_fields__, 0.5))
RECIPE = Recipe(
    name="x",
    network="here:None",
    stems=("vocals", "drums", "other"),
    stft=Stft(bins=128),
    train=Train(frames=FRAMES, warmup_frames=2, losses=EVERYTHING),
)
CPU = torch.device("cpu")


def crops(seed: int, batch: int = 5) -> CropBatch:
    """Some of them narrow, of some not all stems known."""
    random = torch.Generator().manual_seed(seed)
    stems = 0.1 * torch.randn(batch, 3, 2, 4096 + (FRAMES - 1) * 1024, generator=random)
    known = torch.ones(batch, 3, dtype=torch.bool)
    known[1, 1:] = known[3, :2] = False
    return CropBatch(stems, torch.tensor([2049, 70, 2049, 200, 128])[:batch], known)


def network(magnitudes: torch.Tensor, _: Callable[[], torch.Tensor]) -> torch.Tensor:
    """(B, C, F, T) -> (B, 3, C, F + 1, T): masks that depend on their own crop and sum to one."""
    rows = torch.cat([magnitudes, magnitudes.mean(dim=2, keepdim=True)], dim=2)
    return torch.stack([rows, 2 - rows, rows.square()], dim=1).softmax(dim=1)


def total(criterion: Criterion, whole: CropBatch, parts: int, latency: str = "standard") -> torch.Tensor:
    counts = criterion.counts(whole).sum(dim=(1, 2))
    return torch.stack([criterion(network, part, counts, latency) for part in whole.split(parts)]).sum(dim=0)


def test_the_shares_of_parts_add_up_to_the_whole() -> None:
    criterion = Criterion(RECIPE, CPU)
    whole = total(criterion, crops(1), 1)
    assert whole.shape == (len(Losses.__struct_fields__),)
    torch.testing.assert_close(total(criterion, crops(1), 3), whole, rtol=1e-4, atol=1e-6)
    means_of_means = torch.stack([total(criterion, part, 1) for part in crops(1).split(3)]).mean(dim=0)
    assert not torch.allclose(means_of_means, whole, rtol=1e-3)


def test_how_stems_that_are_not_known_share_their_sum_does_not_count() -> None:
    criterion, batch = Criterion(RECIPE, CPU), crops(2)
    moved = batch.stems.clone()
    some = 0.5 * moved[1, 1]
    moved[1, 1] -= some
    moved[1, 2] += some  # from one unknown stem to the other: the mixture stays
    other = dataclasses.replace(batch, stems=moved)
    torch.testing.assert_close(total(criterion, other, 1), total(criterion, batch, 1), rtol=1e-4, atol=1e-6)
    known = dataclasses.replace(other, known=torch.ones(5, 3, dtype=torch.bool))
    assert not torch.allclose(total(criterion, known, 1), total(criterion, batch, 1), rtol=1e-4)


def test_stems_that_are_not_known_are_judged_by_their_sum() -> None:
    batch = dataclasses.replace(crops(3), known=torch.tensor([[True, False, False]]).expand(5, 3))
    pair = replace(RECIPE, stems=("vocals", "instrumental"))
    rest = torch.stack([batch.stems[:, 0], batch.stems[:, 1:].sum(dim=1)], dim=1)
    as_pair = dataclasses.replace(batch, stems=rest, known=torch.ones(5, 2, dtype=torch.bool))

    def in_two(magnitudes: torch.Tensor, true: Callable[[], torch.Tensor]) -> torch.Tensor:
        masks = network(magnitudes, true)
        return torch.stack([masks[:, 0], masks[:, 1:].sum(dim=1)], dim=1)

    two = Criterion(pair, CPU)
    expected = two(in_two, as_pair, two.counts(as_pair).sum(dim=(1, 2)), "medium")
    torch.testing.assert_close(total(Criterion(RECIPE, CPU), batch, 2, "medium"), expected, rtol=1e-4, atol=1e-6)


def test_the_last_stem_is_known_by_all_others() -> None:
    batch = dataclasses.replace(crops(6), known=torch.tensor([[True, False, True]]).expand(5, 3))
    all_known = dataclasses.replace(batch, known=torch.ones(5, 3, dtype=torch.bool))
    criterion = Criterion(RECIPE, CPU)
    torch.testing.assert_close(total(criterion, batch, 1), total(criterion, all_known, 1), rtol=1e-5, atol=1e-7)


def test_the_mode_of_synthesis_changes_the_losses_on_waveforms_alone() -> None:
    criterion = Criterion(RECIPE, CPU)
    standard, low = total(criterion, crops(4), 1), total(criterion, crops(4), 1, "low")
    changed = {name for name, a, b in zip(criterion.names, standard, low, strict=True) if a != b}
    assert changed == {"waveform", "multi_resolution"}


@pytest.mark.parametrize("latency", ["standard", "low"])
def test_nothing_above_a_crops_top_bin_is_judged(latency: str) -> None:
    criterion = Criterion(RECIPE, CPU)

    def off(masks_row: int) -> torch.Tensor:
        def wrong(magnitudes: torch.Tensor, true: Callable[[], torch.Tensor]) -> torch.Tensor:
            masks = network(magnitudes, true)
            masks[..., masks_row, :] = 0
            return masks

        batch = dataclasses.replace(crops(5), top_bin=torch.full((5,), 60))
        return criterion(wrong, batch, criterion.counts(batch).sum(dim=(1, 2)), latency)

    assert torch.equal(off(60), off(128))
    assert (off(60) != off(59)).all()


def test_the_network_may_ask_for_the_true_magnitudes_of_every_stem() -> None:
    criterion, batch = Criterion(RECIPE, CPU), dataclasses.replace(crops(7), known=torch.ones(5, 3, dtype=torch.bool))
    mixture, stems = criterion.normalised(batch)
    told: list[torch.Tensor] = []

    def listening(magnitudes: torch.Tensor, true: Callable[[], torch.Tensor]) -> torch.Tensor:
        told.extend((magnitudes, true()))
        return network(magnitudes, true)

    criterion(listening, batch, criterion.counts(batch).sum(dim=(1, 2)), "standard")
    torch.testing.assert_close(told[0], criterion.magnitudes(mixture))
    for index in range(3):
        torch.testing.assert_close(told[1][:, index], criterion.magnitudes(stems[:, index]))


def test_crops_too_short_to_be_heard_are_one_clear_line() -> None:
    short = replace(RECIPE, train=replace(RECIPE.train, frames=6))
    with pytest.raises(RtsepError, match="the loss waveform needs more frames"):
        Criterion(short, CPU)
