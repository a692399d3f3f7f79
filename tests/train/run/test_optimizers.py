"""AdamW, or Muon for the matrices of linear layers: each parameter is moved by one of them, and a run can go on."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rtsep.errors import RtsepError
from rtsep.train.run.optimizers import MUON_RATE, Optimizers
from rtsep.train.run.trainer import Trainer
from rtsep.train_settings import Train
from tests.train.material import variant, write_material

RATE = 1e-3


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(7, 13)
        self.second = nn.Linear(13, 5)
        self.between = nn.Parameter(torch.ones(9, 13))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x) * self.between.sum(dim=0)).square().mean()


def network() -> Network:
    torch.manual_seed(5)
    return Network()


def walk(moved: Network, optimizers: Optimizers, steps: int) -> None:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    torch.manual_seed(6)
    for _ in range(steps):
        optimizers.zero_grad()
        moved(torch.randn(11, 7)).backward()
        optimizers.set_rate(RATE)
        optimizers.step(scaler)


def test_muon_moves_every_direction_of_a_matrix_alike_and_adamw_the_rest() -> None:
    train = Train(optimizer="muon", weight_decay=0.0)
    before, after = network(), network()
    walk(after, Optimizers(after, train), 1)
    change = {name: (p - before.get_parameter(name)).detach() for name, p in after.named_parameters()}
    for name in ("first.weight", "second.weight"):
        sizes = torch.linalg.svdvals(change[name])
        # as large as AdamW's, which moves a parameter by some 0.2 of the rate in the long run
        expected = MUON_RATE * RATE * 0.2 * max(change[name].shape) ** 0.5
        assert 0.6 * expected < sizes.median() and sizes.max() < 1.3 * expected
        gradient = torch.linalg.svdvals(after.get_parameter(name).grad)
        assert sizes.max() / sizes.min() < 0.1 * gradient.max() / gradient.min()
    for name in ("first.bias", "second.bias", "between"):
        torch.testing.assert_close(change[name].abs(), torch.full_like(change[name], RATE), rtol=1e-2, atol=0)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_matrices_decay_and_what_is_frozen_stays(optimizer: str) -> None:
    plain, decaying = network(), network()
    for moved, weight_decay in ((plain, 0.0), (decaying, 1.0)):
        moved.second.requires_grad_(False)
        walk(moved, Optimizers(moved, Train(optimizer=optimizer, weight_decay=weight_decay)), 1)  # type: ignore[arg-type]
    assert decaying.first.weight.norm() < plain.first.weight.norm()
    assert decaying.between.norm() < plain.between.norm()
    assert torch.equal(decaying.first.bias, plain.first.bias)
    assert torch.equal(decaying.second.weight, network().second.weight)


@pytest.mark.parametrize("overflowing", ["first.weight", "between"])
def test_a_step_left_out_moves_nothing_and_halves_the_scale(overflowing: str) -> None:
    moved, before = network(), network()
    optimizers, scaler = Optimizers(moved, Train(optimizer="muon")), torch.amp.GradScaler("cpu", init_scale=16.0)
    optimizers.set_rate(RATE)
    scaler.scale(moved(torch.randn(11, 7))).backward()
    gradient = moved.get_parameter(overflowing).grad
    assert gradient is not None
    gradient.fill_(torch.nan)
    optimizers.unscale(scaler)
    optimizers.step(scaler, skip=True)
    assert scaler.get_scale() == 8.0
    for expected, found in zip(before.parameters(), moved.parameters(), strict=True):
        assert torch.equal(expected, found)
    optimizers.zero_grad()
    scaler.scale(moved(torch.randn(11, 7))).backward()
    optimizers.unscale(scaler)
    optimizers.step(scaler)
    assert all(not torch.equal(a, b) for a, b in zip(before.parameters(), moved.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_from_a_saved_state_it_takes_the_steps_it_would_have_taken(optimizer: str, tmp_path: Path) -> None:
    train = Train(optimizer=optimizer)  # type: ignore[arg-type]
    straight, halted = network(), network()
    optimizers = Optimizers(straight, train)
    walk(straight, optimizers, 3)
    torch.save(optimizers.state_dict(), tmp_path / "state")
    halted.load_state_dict(straight.state_dict())
    walk(straight, optimizers, 2)
    resumed = Optimizers(halted, train)
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    walk(halted, resumed, 2)
    for expected, found in zip(straight.parameters(), halted.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_a_toy_learns_by_muon_and_goes_on_by_no_other(tmp_path: Path) -> None:
    recipe = variant(write_material(tmp_path), "muon", optimizer="muon", validate_steps=30)
    before, after = [r for r in Trainer(recipe, [tmp_path], tmp_path / "run").run() if "loss" not in r]
    assert after["over_gain_db"] > before["over_gain_db"] + 3
    other = variant(recipe, "adamw", optimizer="adamw", validate_steps=30)
    with pytest.raises(RtsepError, match="last.pt does not fit: the recipe's optimizer or parts have changed"):
        Trainer(other, [tmp_path], tmp_path / "run", resume=True)


def test_a_network_without_linear_layers_is_one_clear_line() -> None:
    with pytest.raises(RtsepError, match="none is trained here"):
        Optimizers(nn.Conv1d(2, 2, 3), Train(optimizer="muon"))


def test_an_older_pytorch_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(RtsepError, match=r"needs PyTorch 2\.9 or newer"):
        Optimizers(network(), Train(optimizer="muon"))
