"""Bundles: found by name or folder, verified before they are used."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from rtsep.bundle import Bundle, build_network, find_bundle, list_bundles, write_bundle
from rtsep.errors import MissingWeights, RtsepError
from rtsep.model_list import list_models
from rtsep.recipe import load_recipe
from rtsep.train.run.export import export_bundle

RECIPE = """name = "tiny"    # a comment that survives
network = "rtsep.nn.frame_transformer:FrameTransformer"
stems = ["vocals", "instrumental"]
[stft]
bins = 128
[net]
widths = [4, 4, 4]
width = 32
heads = 2
feed_forward = 16
layers = [1, 1, 1]
context = 8
[train]
licence = "CC0 1.0"
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    recipe = tmp_path / "source" / "recipe.toml"
    recipe.parent.mkdir()
    recipe.write_text(RECIPE)
    torch.manual_seed(0)
    network = build_network(load_recipe(recipe))
    return Bundle(export_bundle(load_recipe(recipe), RECIPE, network.state_dict(), tmp_path / "tiny"))


def test_an_exported_bundle_loads_and_names_its_licence(tiny: Bundle) -> None:
    network = tiny.load_network()
    assert not network.training
    assert tiny.licence == "CC0 1.0"
    assert "a comment that survives" in (tiny.path / "recipe.toml").read_text()
    with torch.inference_mode():
        assert network.forward(torch.rand(1, 2, 128, 3)).shape == (1, 2, 2, 129, 3)


def test_exporting_again_replaces_the_weights_table(tiny: Bundle) -> None:
    parameters = {name: tensor + 1 for name, tensor in build_network(tiny.recipe).state_dict().items()}
    text = (tiny.path / "recipe.toml").read_text()
    again = Bundle(export_bundle(tiny.recipe, text, parameters, tiny.path))
    again.load_network()
    assert (tiny.path / "recipe.toml").read_text().count("[weights]") == 1


@pytest.mark.parametrize("name", ["os:system", "tests.networks:wrong_name", "math:pi"])
def test_what_is_no_network_is_never_called(tiny: Bundle, name: str) -> None:
    recipe = tiny.path / "recipe.toml"
    recipe.write_text(RECIPE.replace("rtsep.nn.frame_transformer:FrameTransformer", name))
    with pytest.raises(RtsepError, match="is not a network|cannot be imported"):
        build_network(load_recipe(recipe))


def test_one_changed_byte_is_noticed(tiny: Bundle) -> None:
    content = bytearray(tiny.weights_path.read_bytes())
    content[-1] ^= 1
    tiny.weights_path.write_bytes(content)
    with pytest.raises(RtsepError, match="damaged or was changed"):
        tiny.load_network()


def test_weights_without_a_sum_are_refused(tiny: Bundle) -> None:
    recipe = tiny.path / "recipe.toml"
    recipe.write_text(RECIPE)
    with pytest.raises(RtsepError, match=r"no \[weights\] table"):
        tiny.load_network()


def test_weights_of_another_network_are_refused(tiny: Bundle) -> None:
    recipe = tiny.path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("context = 8", "context = 9"))
    with pytest.raises(RtsepError, match="made for another network"):
        tiny.load_network()


def test_a_file_that_is_no_safetensors_is_refused(tiny: Bundle) -> None:
    import hashlib

    recipe = tiny.path / "recipe.toml"
    (tiny.path / "weights.safetensors").write_bytes(b"not weights at all")
    table = f'[weights]\nsha256 = "{hashlib.sha256(b"not weights at all").hexdigest()}"\nlicence = ""\n'
    recipe.write_text(RECIPE + table)
    with pytest.raises(RtsepError, match="not a readable safetensors file"):
        tiny.load_network()


def test_missing_weights_say_how_to_get_some(tiny: Bundle) -> None:
    tiny.weights_path.unlink()
    with pytest.raises(RtsepError, match="rtsep train"):
        tiny.load_network()


def borrower(tiny: Bundle, monkeypatch: pytest.MonkeyPatch, changed: tuple[str, str] = ("", "")) -> Bundle:
    """A model beside `tiny` that plays its weights."""
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(tiny.path.parent))
    folder = tiny.path.parent / "borrower"
    folder.mkdir()
    text = RECIPE.replace('name = "tiny"', 'name = "borrower"\nweights_of = "tiny"').replace(*changed)
    (folder / "recipe.toml").write_text(text)
    return Bundle(folder)


def test_a_model_can_play_the_weights_of_another(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    model = borrower(tiny, monkeypatch)
    weights, own = model.load_network().state_dict(), tiny.load_network().state_dict()
    assert all(torch.equal(weights[name], own[name]) for name in own)
    assert (model.weights_path, model.licence) == (tiny.weights_path, "CC0 1.0")
    assert (model.weights_name, tiny.weights_name) == ("tiny", "tiny")
    assert [info.has_weights for info in list_models() if info.name == "borrower"] == [True]
    tiny.weights_path.unlink()
    with pytest.raises(MissingWeights, match="rtsep models get tiny"):
        model.load_network()


@pytest.mark.parametrize(
    "changed", [("context = 8", "context = 9"), ('weights_of = "tiny"', 'weights_of = "borrower"')]
)
def test_weights_of_another_network_or_of_none_are_not_played(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch, changed: tuple[str, str]
) -> None:
    with pytest.raises(RtsepError, match="another network or no weights of its own"):
        borrower(tiny, monkeypatch, changed).load_network()


@pytest.mark.parametrize("network", ["rtsep.nn.nothing:Net", "rtsep.nn.constant:Nothing"])
def test_a_network_that_cannot_be_imported_is_named(tiny: Bundle, network: str) -> None:
    recipe = tiny.path / "recipe.toml"
    recipe.write_text(RECIPE.replace("rtsep.nn.frame_transformer:FrameTransformer", network))
    with pytest.raises(RtsepError, match=network):
        tiny.load_network()


def test_wrong_arguments_of_a_network_are_one_line(tiny: Bundle) -> None:
    recipe = tiny.path / "recipe.toml"
    recipe.write_text(RECIPE.replace("context = 8", "contxt = 8"))
    with pytest.raises(RtsepError, match="contxt"):
        tiny.load_network()


SPLEETER = """name = "windows"
network = "rtsep.nn.spleeter:Spleeter"
stems = ["vocals", "instrumental"]
[stft]
bins = 8
[net]
filters = [2]
"""


def test_a_network_of_windows_is_wrapped_in_its_authors_settings_or_in_those_for_playing(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(SPLEETER + "[window]\nframes = 8\nstride = 8\n[live]\nframes = 4\nstride = 2\nlookahead = 1\n")
    network, live = (build_network(load_recipe(recipe), live=live) for live in (False, True))
    assert (network.lookahead_frames, live.lookahead_frames) == (7, 2)
    live.load_state_dict(network.state_dict())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (SPLEETER, r"Spleeter needs a \[window\]"),
        (RECIPE + "[window]\nframes = 8\nstride = 8\n", r"FrameTransformer does not take a \[window\]"),
        (SPLEETER + "[window]\nframes = 7\nstride = 7\n", r"\[window\]: a window must be a multiple of 2"),
        (
            SPLEETER + "[window]\nframes = 8\nstride = 8\n[live]\nframes = 4\nstride = 5\n",
            r"\[live\]: stride 5 and lookahead 0 must fit",
        ),
    ],
)
def test_windows_that_do_not_fit_the_network_are_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    with pytest.raises(RtsepError, match=complaint):
        build_network(load_recipe(recipe), live=True)


def test_bundles_are_found_by_name_in_the_users_folder(tiny: Bundle, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(tmp_path))
    assert find_bundle("tiny").path == tiny.path
    assert find_bundle(tiny.path).path == tiny.path
    assert find_bundle(tiny.path / "recipe.toml").path == tiny.path
    assert "tiny" in [bundle.name for bundle in list_bundles()]
    shutil.rmtree(tiny.path)
    with pytest.raises(RtsepError, match="no model 'tiny'"):
        find_bundle("tiny")


def test_weights_are_stored_in_half_precision_with_the_network_in_the_header(tiny: Bundle) -> None:
    with safetensors.safe_open(tiny.weights_path, framework="pt") as file:
        assert '"network":"rtsep.nn.frame_transformer:FrameTransformer"' in file.metadata()["rtsep"]
        for key in file.keys():  # noqa: SIM118 - not a dict
            tensor = file.get_tensor(key)
            assert tensor.dtype == (torch.float16 if tensor.ndim > 1 else torch.float32)


def test_weights_in_bfloat16_load_too(tiny: Bundle) -> None:
    parameters = {name: tensor.bfloat16() for name, tensor in tiny.load_network().state_dict().items()}
    other = write_bundle(tiny.path.parent / "brain", tiny.recipe, RECIPE, parameters, "CC0 1.0")
    for name, array in other.load_weights().items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, parameters[name].float().numpy())


def test_a_folder_in_the_way_is_not_taken_for_the_default(tiny: Bundle, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.path.rename(tmp_path / "frame-transformer-2stems")
    assert find_bundle().path != tmp_path / "frame-transformer-2stems"
    with pytest.raises(RtsepError, match="no model ''"):
        find_bundle("")
