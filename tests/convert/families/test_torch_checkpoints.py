"""Foreign state dicts become networks that answer as their authors' code does; what does not fit is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rtsep.bundle import build_network
from rtsep.convert.converter import Checkpoint
from rtsep.convert.dispatch import convert, convert_path
from rtsep.convert.formats.state_dict import read_state_dict
from rtsep.convert.write import write_conversion
from rtsep.errors import RtsepError
from rtsep.nn.windowed import Windowed
from tests.convert.families import golden
from tests.convert.malicious import Malicious

SYSTEMS = ("vocal-remover-5", "vocal-remover-6", "carperbr-a", "carperbr-b", "carperbr-c")


def masks_of(tensors: dict[str, Tensor], bins: int, frames: int) -> Tensor:
    """(2, C, bins, frames) of a converted network."""
    conversion = convert(Checkpoint(Path("checkpoint"), tensors))
    network = build_network(conversion.recipe)
    assert isinstance(network, Windowed)
    network.network.load_state_dict(conversion.tensors)
    with torch.inference_mode():
        return network.network.eval()(golden.magnitudes(bins, frames)[:, :, :-1])[0]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_converted_network_answers_as_its_authors_code_did(system: str) -> None:
    tensors, answer = golden.read(system)
    masks = masks_of(tensors, *answer.shape[1:])
    torch.testing.assert_close(masks.flatten(0, 1)[: len(answer)], answer, atol=1e-5, rtol=0)
    if system != "vocal-remover-6":
        torch.testing.assert_close(masks.sum(dim=0), torch.ones_like(masks[0]))


def test_skip_attention_goes_by_two_names() -> None:
    tensors, answer = golden.read("carperbr-b")
    assert any("enc_attn1" in name for name in tensors)
    renamed = {name.replace("enc_attn", "skip_attn"): tensor for name, tensor in tensors.items()}
    masks = masks_of(renamed, *answer.shape[1:])
    torch.testing.assert_close(masks[0], answer, atol=1e-5, rtol=0)


def test_counts_of_batches_may_be_missing() -> None:
    tensors, answer = golden.read("vocal-remover-5")
    fewer = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    torch.testing.assert_close(masks_of(fewer, *answer.shape[1:])[0], answer, atol=1e-5, rtol=0)


@pytest.mark.parametrize("system", ["vocal-remover-5", "carperbr-c"])
def test_what_does_not_fit_is_named_in_one_line(system: str) -> None:
    tensors, _ = golden.read(system)
    name = next(key for key in tensors if key.startswith(("stg3_full_band_net.dec1", "dec1.conv")))
    for change, complaint in (
        ({**tensors, name: tensors[name][..., :-1]}, "another shape"),
        ({key: tensor for key, tensor in tensors.items() if key != name}, "1 tensors missing"),
        ({**tensors, "stranger.weight": torch.zeros(1)}, r"1 unknown \(first stranger.weight"),
    ):
        with pytest.raises(RtsepError, match=complaint) as caught:
            convert(Checkpoint(Path("x.pth"), change))
        assert str(caught.value).startswith("x.pth") and "\n" not in str(caught.value)


def test_keys_of_nobody_are_refused() -> None:
    with pytest.raises(RtsepError, match="unknown architecture"):
        convert(Checkpoint(Path("x.pth"), {"backbone.weight": torch.zeros(2)}))


def test_complex_vocal_removers_are_refused() -> None:
    tensors, _ = golden.read("vocal-remover-5")
    wider = {**tensors, "stg1_high_band_net.enc1.conv.0.weight": torch.zeros(1, 4, 3, 3)}
    with pytest.raises(RtsepError, match="complex"):
        convert(Checkpoint(Path("x.pth"), wider))


def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    path = tmp_path / "bad.pth"
    torch.save({"weight": torch.zeros(1), "payload": Malicious(tmp_path / "proof")}, path)
    with pytest.raises(RtsepError, match="refused") as caught:
        read_state_dict(path)
    assert not (tmp_path / "proof").exists()
    assert "\n" not in str(caught.value)


def test_a_checkpoint_becomes_a_bundle_that_plays(tmp_path: Path) -> None:
    tensors, answer = golden.read("vocal-remover-5")
    torch.save(tensors, tmp_path / "baseline.pth")
    bundle = write_conversion(convert_path(tmp_path / "baseline.pth"), tmp_path / "vocal-remover")
    network = bundle.load_network()
    assert bundle.recipe.stems == network.stems == ("instrumental", "vocals")
    assert bundle.licence == "MIT"
    assert isinstance(network, Windowed)
    masks = network.network(golden.magnitudes(*answer.shape[1:])[:, :, :-1])[0, 0]
    torch.testing.assert_close(masks, answer, atol=1e-5, rtol=0)


def test_files_that_hold_no_state_dict_are_one_line(tmp_path: Path) -> None:
    whole, cut, text = tmp_path / "whole.pth", tmp_path / "cut.pth", tmp_path / "text.pth"
    torch.save({"weight": torch.zeros(1000)}, whole)
    cut.write_bytes(whole.read_bytes()[:1500])
    text.write_text("not a checkpoint")
    nested, scalar, empty = tmp_path / "nested.pth", tmp_path / "scalar.pth", tmp_path / "empty.pth"
    torch.save({"epoch": 3, "weight": torch.zeros(1)}, nested)
    torch.save(torch.zeros(3), scalar)
    empty.write_bytes(b"")
    for path in (cut, text, nested, scalar, empty, tmp_path / "none.pth", tmp_path):
        with pytest.raises(RtsepError, match=path.name) as caught:
            read_state_dict(path)
        assert "\n" not in str(caught.value)
    assert read_state_dict(whole)["weight"].shape == (1000,)
