"""The trainer: it learns, shows how it sounds, and ends in bundles that play."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from rtsep.bundle import Bundle
from rtsep.errors import RtsepError
from rtsep.nn.check import check_network
from rtsep.train.run.trainer import Trainer
from tests.train.material import logged_losses, variant, write_material


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_material(tmp_path_factory.mktemp("material"))


def trainer(recipe: Path, run: Path) -> Trainer:
    return Trainer(recipe, [recipe.parent.parent], run)


def losses(recipe: Path, run: Path) -> list[float]:
    """Of each step of a whole run."""
    return [report["loss"] for report in trainer(recipe, run).run() if "loss" in report]


def test_a_toy_learns_to_separate_and_its_run_can_be_played_heard_and_seen(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    reports = list(trainer(variant(recipe, "heard", validate_steps=30), run).run())
    assert reports == [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]

    before, after = [report for report in reports if "loss" not in report]
    assert (before["step"], after["step"]) == (0, 30)
    assert after["over_gain_db"] > before["over_gain_db"] + 3
    assert {"over_gain_db/vocals", "over_gain_db/instrumental"} <= after.keys()
    for report in reports[1:-1]:
        assert {"step", "loss", "loss/separation", "rate", "gradient_norm", "data_s", "step_s"} == report.keys()
        assert 0 <= report["data_s"] <= report["step_s"]

    for name in ("bundle", "best"):
        assert check_network(Bundle(run / name).load_network()) == []
    best = torch.load(run / "best.pt", weights_only=True)
    assert (best["step"], best["over_gain_db"]) == (30, after["over_gain_db"])

    sounds = {path.stem: soundfile.read(path)[0].T for path in (run / "samples").glob("*.flac")}
    assert sounds.keys() == {"mixture", "vocals", "0000000", "0000030"}
    ((channels, samples),) = {sound.shape for sound in sounds.values()}
    assert channels == 2 and abs(samples - 3.01 * 44100) < 2
    error = {name: np.square(sounds[name] - sounds["vocals"]).mean() for name in ("mixture", "0000000", "0000030")}
    assert error["0000030"] < 0.5 * error["0000000"] < error["mixture"]
    assert (run / "samples" / "0000030.png").read_bytes().startswith(b"\x89PNG")


def test_passes_change_nothing_but_memory(recipe: Path, tmp_path: Path) -> None:
    at_once = losses(variant(recipe, "at_once", batch=3, steps=5), tmp_path / "at_once")
    in_passes = losses(variant(recipe, "in_passes", batch=3, steps=5, accumulate=2), tmp_path / "in_passes")
    assert in_passes == pytest.approx(at_once, rel=1e-3)


def test_more_passes_than_crops_are_one_clear_line(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(RtsepError, match=r"batch = 2 is too small: 1 process\(es\) with accumulate = 3 need 3 crops"):
        trainer(variant(recipe, "many", accumulate=3), tmp_path / "run")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_walks_beside_single_precision(recipe: Path, tmp_path: Path, precision: str) -> None:
    single = losses(variant(recipe, "single", steps=6), tmp_path / "single")
    half = losses(variant(recipe, precision, steps=6, precision=precision), tmp_path / precision)
    assert half == pytest.approx(single, rel=0.03)
    assert half != single


def test_all_losses_together_fall(recipe: Path, tmp_path: Path) -> None:
    chosen = variant(recipe, "all", steps=15, latencies=["standard", "low"])
    names = ("separation", "log_energy", "magnitude", "compressed", "complex", "waveform", "multi_resolution")
    weights = "".join(f"{name} = 0.5\n" for name in names)
    chosen.write_text(chosen.read_text().replace("[[train.data]]", f"[train.losses]\n{weights}[[train.data]]", 1))
    reports = list(trainer(chosen, tmp_path / "run").run())
    for name in names:
        found = [report[f"loss/{name}"] for report in reports]
        assert np.mean(found[-4:]) < np.mean(found[:4]), name
    assert reports[0]["loss"] == pytest.approx(0.5 * sum(reports[0][f"loss/{name}"] for name in names), rel=1e-5)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_batch(recipe: Path, tmp_path: Path) -> None:
    run = trainer(recipe, tmp_path / "run")
    with torch.no_grad():
        next(run.network.parameters()).fill_(float("nan"))
    with pytest.raises(RtsepError, match="loss is NaN or infinite at step 0; the batch is in"):
        next(run.run())
    saved = torch.load(tmp_path / "run" / "nan_batch.0.pt", weights_only=True)
    assert saved["stems"].shape == (2, 2, 2, 4096 + 19 * 1024)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_a_gradient_that_is_not_a_number_never_reaches_the_weights(recipe: Path, tmp_path: Path) -> None:
    run = trainer(recipe, tmp_path / "run")
    run.network.register_full_backward_pre_hook(lambda _module, gradients: (gradients[0] * float("nan"),))
    with pytest.raises(RtsepError, match="gradient is NaN or infinite at step 0"):
        next(run.run())
    assert all(parameter.isfinite().all() for parameter in run.network.parameters())


def test_the_network_learns_the_level_of_its_input_before_the_first_step(recipe: Path, tmp_path: Path) -> None:
    run = trainer(recipe, tmp_path / "run")
    batches = [run._loader.sampler.batch(step) for step in range(12)]
    seen = [run._criterion.magnitudes(run._criterion.normalised(crops)[0]) for crops in batches]
    features = torch.cat([run.network.features(x).flatten(0, 1) for x in seen])  # type: ignore[operator]
    assert features.mean(dim=(0, 2)).abs().max() < 1e-3
    assert features.std(dim=(0, 2)).sub(1).abs().max() < 1e-3


def test_the_recipe_file_that_is_named_is_the_one_that_is_trained(recipe: Path, tmp_path: Path) -> None:
    assert len(losses(variant(recipe, "other", steps=2), tmp_path / "run")) == 2
    assert "steps = 2\n" in (tmp_path / "run" / "bundle" / "recipe.toml").read_text()


def test_a_run_can_start_from_a_bundle(recipe: Path, tmp_path: Path) -> None:
    taught = losses(recipe, tmp_path / "first")
    short = variant(recipe, "short", steps=1)
    bundle = Bundle(tmp_path / "first" / "bundle")
    run = Trainer(short, [recipe.parent.parent], tmp_path / "second", init=bundle)
    (report,) = run.run()
    assert report["loss"] < 0.9 * taught[0]
    assert logged_losses(tmp_path / "second") == {1: report["loss"]}


def test_a_run_that_cannot_begin_leaves_nothing(recipe: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    with pytest.raises(RtsepError, match="is not in .*check --data"):
        Trainer(recipe, [wrong], tmp_path / "runs" / "run")
    assert list(tmp_path.iterdir()) == [wrong]


def test_data_may_lie_in_several_folders(recipe: Path, tmp_path: Path) -> None:
    data = recipe.parent.parent
    for name in ("songs", "duets"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).symlink_to(data / name)
    apart = Trainer(variant(recipe, "two", steps=2), [tmp_path / "songs", tmp_path / "duets"], tmp_path / "apart")
    found = [report["loss"] for report in apart.run()]
    assert found == losses(recipe.with_name("two.toml"), tmp_path / "together")
