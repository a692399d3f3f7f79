"""D3Net's parameter files: names as nnabla's scopes make them, and files that are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from rtsep.bundle import build_network
from rtsep.convert.dispatch import convert_path
from rtsep.convert.families.d3net import convert_parameters, read_parameters
from rtsep.errors import RtsepError
from rtsep.nn.d3net import SIZES, Blocks, Size

h5py = pytest.importorskip("h5py")

TOY = Size(
    split=16,
    low=Blocks(k=(3, 2, 4), L=(3, 2, 2), M=(2, 2, 3)),
    high=Blocks(k=(2, 2, 2), L=(1, 1, 1), M=(1, 1, 1)),
    full=Blocks(k=(3, 2, 3, 2, 3), L=(2, 3, 2, 2, 2), M=(2, 1, 3, 2, 1)),
)


def norm(scope: str, maps: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for leaf in ("beta", "gamma", "mean", "var"):
        yield f"{scope}/bn/{leaf}", (1, maps, 1, 1)


def conv(scope: str, maps_in: int, maps_out: int, kernel: int = 3) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{scope}/conv/W", (maps_out, maps_in, kernel, kernel)
    yield f"{scope}/conv/b", (maps_out,)


def norm_conv(scope: str, maps_in: int, maps_out: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from norm(f"{scope}/bottleneck/norm1", maps_in)
    yield from conv(f"{scope}/bottleneck/conv1", maps_in, maps_out)


def dense(scope: str, maps: int, growth: int, layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from norm_conv(f"{scope}/initial_layer", maps, growth * layers)
    for i in range(layers - 1):
        yield from norm_conv(f"{scope}/layers/layer{i + 1}", growth, growth * (layers - i - 1))


def nested(scope: str, maps: int, k: int, layers: int, blocks: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from dense(f"{scope}/initial_block", maps, k * blocks, layers)
    for i in range(blocks - 1):
        yield from dense(f"{scope}/layers/layer{i + 1}", k, k * (blocks - i - 1), layers)


def unet(scope: str, maps: int, sizes: Blocks) -> Iterator[tuple[str, tuple[int, ...]]]:
    depth = len(sizes.k) // 2
    parts = list(zip(sizes.k, sizes.L, sizes.M, strict=True))
    for number in range(depth):
        yield from nested(f"{scope}/ds_layers/dense_block{number}", maps, *parts[number])
        maps = sizes.k[number]
    yield from nested(f"{scope}/bottleneck_block", maps, *parts[depth])
    maps = sizes.k[depth]
    for i in range(depth):
        yield from norm(f"{scope}/us_layers/upsample{i}/upsample/norm", maps)
        yield f"{scope}/us_layers/upsample{i}/upsample/transconv/deconv/W", (maps, maps, 2, 2)
        yield f"{scope}/us_layers/upsample{i}/upsample/transconv/deconv/b", (maps,)
        maps += sizes.k[depth - 1 - i]
        yield from nested(f"{scope}/us_layers/dense_block{depth + 1 + i}", maps, *parts[depth + 1 + i])
        maps = sizes.k[depth + 1 + i]


def names(size: Size) -> Iterator[tuple[str, tuple[int, ...]]]:
    for leaf, bins in (("in_offset", 2049), ("in_scale", 2049), ("decode_scale", 1600), ("decode_bias", 1600)):
        yield leaf, (1, 1, 1, bins)
    yield from conv("features_init/0", 2, 32)
    yield from conv("features_init/1", 2, 8)
    yield from conv("features_init_full", 2, 32)
    yield from unet("dense_band/0", 32, size.low)
    yield from unet("dense_band/1", 8, size.high)
    yield from unet("dense_full", 32, size.full)
    yield from norm("match_fm_conv/1/norm", size.high.k[-1])
    yield from conv("match_fm_conv/1/conv", size.high.k[-1], size.low.k[-1], 1)
    yield from dense("final_dense", size.low.k[-1] + size.full.k[-1], 12, 3)
    yield from norm("out_gate/bn", 12)
    yield from conv("out_gate/conv_gate/conv", 12, 2, 1)
    yield from conv("out_gate/conv_filt/conv", 12, 2, 1)


def write(path: Path, target: str, size: Size) -> Path:
    random = np.random.default_rng(len(target))
    with h5py.File(path, "w") as file:
        for index, (name, shape) in enumerate(names(size)):
            dataset = file.create_dataset(f"{target}/{name}", data=random.random(shape, np.float32))
            dataset.attrs["index"] = index
    return path


@pytest.mark.parametrize("target", ["vocals", "drums", "bass", "other", "toy"])
def test_every_name_of_a_published_size_finds_its_place(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renamed as vocals, the stem that comes alone."""
    monkeypatch.setitem(SIZES, "vocals", TOY if target == "toy" else SIZES[target])
    path = write(tmp_path / "vocals.h5", "vocals", SIZES["vocals"])
    parameters = read_parameters(path)
    conversion = convert_parameters([parameters], "vocals.h5")
    assert conversion.recipe.stems == ("vocals", "instrumental")
    with torch.device("meta"):
        expected = build_network(conversion.recipe).network.state_dict()  # type: ignore[union-attr]
    assert {name: tensor.shape for name, tensor in conversion.tensors.items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }
    mean = conversion.tensors["networks.0.input_mean"]
    assert torch.equal(mean, parameters["vocals/in_offset"].flatten()[:1600])
    weight = conversion.tensors["networks.0.low.up.0.first.first.2.weight"]
    depth = len(SIZES["vocals"].low.k) // 2
    theirs = f"vocals/dense_band/0/us_layers/dense_block{depth + 1}/initial_block/initial_layer/bottleneck/conv1/conv/W"
    assert torch.equal(weight, parameters[theirs])


def test_four_files_are_one_system_and_other_combinations_are_refused(tmp_path: Path) -> None:
    parts = [read_parameters(write(tmp_path / f"{t}.h5", t, SIZES[t])) for t in ("bass", "drums", "other", "vocals")]
    assert convert_parameters(parts, "d3net").recipe.stems == ("vocals", "drums", "bass", "other")
    assert convert_path(tmp_path).recipe.name == "d3net-4stems"
    assert convert_path(tmp_path / "vocals.h5").recipe.name == "d3net-vocals"
    with pytest.raises(RtsepError, match="expected vocals, or all of"):
        convert_parameters(parts[:1], "d3net")


def test_files_that_are_none_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "text.h5"
    path.write_text("no HDF5")
    for bad in (path, tmp_path / "none.h5"):
        with pytest.raises(RtsepError, match="not a readable HDF5 file") as caught:
            read_parameters(bad)
        assert "\n" not in str(caught.value)
