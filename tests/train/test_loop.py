"""The trainer: it learns, goes on where it stopped, and ends in a bundle that plays."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rtsep.bundle import Bundle
from rtsep.errors import RtsepError
from rtsep.nn.check import check_network
from rtsep.recipe import load_recipe
from rtsep.train import loop
from rtsep.train.loop import Trainer, learning_rate
from tests.train.material import write_material


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_material(tmp_path_factory.mktemp("material"))


def trainer(recipe: Path, run: Path) -> Trainer:
    return Trainer(recipe, [recipe.parent.parent], run)


def test_a_toy_learns_and_its_run_holds_a_playable_bundle(recipe: Path, tmp_path: Path) -> None:
    losses = [report["loss"] for report in trainer(recipe, tmp_path / "run").run()]
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == losses
    assert losses[-1] < 0.8 * losses[0]
    assert check_network(Bundle(tmp_path / "run" / "bundle").load_network()) == []


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(recipe: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_STEPS", 10)
    monkeypatch.setattr(loop, "REPORT_STEPS", 5)
    whole = [report["loss"] for report in trainer(recipe, tmp_path / "whole").run()]
    for report in trainer(recipe, tmp_path / "parts").run():
        if report["step"] == 15:  # five steps after a checkpoint: they are lost and done again
            break
    rest = [report["loss"] for report in trainer(recipe, tmp_path / "parts").run()]
    assert rest == pytest.approx(whole[2:], rel=1e-4)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_batch(recipe: Path, tmp_path: Path) -> None:
    run = trainer(recipe, tmp_path / "run")
    with torch.no_grad():
        next(run.network.parameters()).fill_(float("nan"))
    with pytest.raises(RtsepError, match="not a number at step 0"):
        next(run.run())
    saved = torch.load(tmp_path / "run" / "nan_batch.pt", weights_only=True)
    assert saved["mixture"].shape[:2] == (2, 20)


def test_the_network_learns_the_level_of_its_input_before_the_first_step(recipe: Path, tmp_path: Path) -> None:
    run = trainer(recipe, tmp_path / "run")
    mixture = torch.cat([run._batch(run.sampler.batch(step))[0] for step in range(10)])
    features = run.network.features(mixture[:, :, :128].abs().permute(0, 3, 2, 1))  # type: ignore[operator]
    assert abs(features.mean().item()) < 0.5
    assert 0.5 < features.std().item() < 2.0


def test_the_rate_rises_holds_and_falls(recipe: Path) -> None:
    train = load_recipe(recipe).train
    rates = np.array([learning_rate(step, train) for step in range(train.steps + 1)])
    assert rates[0] == pytest.approx(train.learning_rate / 5)
    assert rates[5:20] == pytest.approx(train.learning_rate)
    assert (np.diff(rates[22:]) < 0).all()
    assert rates[-1] == 0.0


def test_the_recipe_file_that_is_named_is_the_one_that_is_trained(recipe: Path, tmp_path: Path) -> None:
    other = recipe.with_name("other.toml")
    other.write_text(recipe.read_text().replace("steps = 30", "steps = 2"))
    assert [report["step"] for report in trainer(other, tmp_path / "run").run()] == [2]
    assert "steps = 2\n" in (tmp_path / "run" / "bundle" / "recipe.toml").read_text()


def test_a_run_of_another_network_is_not_gone_on_with(recipe: Path, tmp_path: Path) -> None:
    other = recipe.with_name("wider.toml")
    other.write_text(recipe.read_text().replace("steps = 30", "steps = 1"))
    list(trainer(other, tmp_path / "run").run())
    other.write_text(other.read_text().replace("feed_forward = 32", "feed_forward = 64"))
    with pytest.raises(RtsepError, match="run of another network"):
        trainer(other, tmp_path / "run")
