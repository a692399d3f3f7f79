"""Networks of whole windows in the trainer: taught by windows, in parts, with the statistics of their batch norms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rtsep.bundle import Bundle
from rtsep.errors import RtsepError
from rtsep.nn.check import check_network
from rtsep.train.run.trainer import Trainer
from tests.train.material import RECIPE, write_material

UNET = """
network = "rtsep.nn.reduced_unet:PlayerUNet"
stems = ["vocals", "instrumental"]
[stft]
bins = 128
[net]
filters = [4, 8]
"""
AUTOREGRESSIVE = """
network = "rtsep.nn.autoregressive:AutoregressiveFrameTransformer"
stems = ["instrumental", "vocals"]
[stft]
bins = 128
[net]
width = 2
decoders = 1
heads = 2
feed_forward = 8
window = 12
"""
WINDOW = """[window]
frames = 12
stride = 6
lookahead = 6
fade = 3
input_scale = "running_max"
"""
TRAIN = RECIPE[RECIPE.index("[train]") :].replace("chunks = [1, 4, 0]\n", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_material(tmp_path_factory.mktemp("windows")).parent


def trainer(folder: Path, run: Path, network: str, changes: str = "") -> Trainer:
    recipe = run.with_suffix(".toml")
    recipe.write_text(f'name = "toy"{network}{WINDOW}{TRAIN.replace("[train]", f"[train]{changes}")}')
    return Trainer(recipe, [folder.parent], run)


def test_a_network_with_batch_norms_learns_and_its_bundle_keeps_their_statistics(folder: Path, tmp_path: Path) -> None:
    run = trainer(folder, tmp_path / "run", UNET)
    losses = [report["loss"] for report in run.run()]
    assert losses[-1] < losses[0]
    network = Bundle(tmp_path / "run" / "bundle").load_network()
    assert check_network(network) == []
    trained = dict(run.network.named_buffers())
    statistics = {name: buffer for name, buffer in network.named_buffers() if "running_" in name}
    assert statistics
    for name, buffer in statistics.items():
        assert torch.equal(buffer, trained[name])
        assert not torch.equal(buffer, torch.full_like(buffer, float(name.endswith("var"))))


def test_an_autoregressive_network_is_taught(folder: Path, tmp_path: Path) -> None:
    losses = [report["loss"] for report in trainer(folder, tmp_path / "run", AUTOREGRESSIVE).run()]
    assert losses[-1] < losses[0]


def test_only_the_named_parts_are_trained(folder: Path, tmp_path: Path) -> None:
    run = trainer(folder, tmp_path / "run", UNET, '\nparts = ["networks.vocals"]')
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    assert len(list(run.run())) == 30
    changed = {name for name, tensor in run.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("network.networks.vocals.") for name in changed)


def test_a_part_that_is_not_there_is_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RtsepError, match="no module 'drums'"):
        trainer(folder, tmp_path / "run", UNET, '\nparts = ["drums"]')


def test_a_network_of_whole_segments_is_refused(folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    network = 'name = "toy"\nnetwork = "rtsep.nn.demucs:HTDemucs"\nstems = ["vocals", "instrumental"]\n[segments]\n'
    recipe.write_text(network + TRAIN)
    with pytest.raises(RtsepError, match="whole segments cannot be trained"):
        Trainer(recipe, [folder.parent], tmp_path / "run")
    assert not (tmp_path / "run").exists()
