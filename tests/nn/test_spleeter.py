"""Spleeter's networks: their sizes, their masks, and a whole song as Spleeter separates it.

That the U-net computes what TensorFlow's does is tested with the reading of its checkpoints.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from rtsep.dsp.wiener import MultichannelWiener
from rtsep.nn.check import check_network
from rtsep.nn.spleeter import Spleeter
from rtsep.nn.spleeter_unet import Dilated, FrozenNorm, Raise, UNet
from rtsep.nn.windowed import Windowed
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from rtsep.separation.processor import Processor
from rtsep.separation.stream_separator import StreamSeparator
from tests.dsp.wiener_reference import wiener_filter

STEMS = ("vocals", "drums", "other")


def small(**arguments: object) -> Spleeter:
    torch.manual_seed(4)
    given = {"bins": 16, "filters": (3, 4), **arguments}
    network = Spleeter(STEMS, **given).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def music(frames: int, bins: int = 16) -> Tensor:
    return 5 * torch.rand(2, 2, bins, frames, generator=torch.Generator().manual_seed(frames)) ** 2


@pytest.mark.parametrize(
    ("stems", "model", "parameters"),
    [(2, "unet", 9_823_749), (4, "unet", 9_823_749), (5, "softmax_unet", 9_823_749), (1, "blstm", 8_634_048)],
)
def test_parameters_are_as_many_as_spleeters(stems: int, model: str, parameters: int) -> None:
    with torch.device("meta"):
        network = Spleeter([f"stem{index}" for index in range(stems)], model=model)
    assert sum(parameter.numel() for parameter in network.parameters()) == stems * parameters
    statistics = 0 if model == "blstm" else 3_010
    assert sum(buffer.numel() for buffer in network.buffers()) == stems * statistics


@pytest.mark.parametrize("model", ["unet", "softmax_unet", "blstm"])
@torch.inference_mode()
def test_masks_share_the_mixture_out(model: str) -> None:
    network = small(model=model, lstm_units=5)
    masks = network(music(8))
    assert masks.shape == (2, 3, 2, 17, 8)
    torch.testing.assert_close(masks[:, :, :, :16].sum(dim=1), torch.ones(2, 2, 16, 8))
    torch.testing.assert_close(masks[:, :, :, 16].sum(dim=1), torch.ones(2, 2, 8), msg="and above its bins")
    assert masks[:, 0, 0, 3, 2].std() > 0, "the other song of the batch has masks of its own"
    silent = network.masks(torch.zeros(1, 3, 2, 16, 4))
    torch.testing.assert_close(silent[:, :, :, :16], torch.full((1, 3, 2, 16, 4), 1 / 3))


@torch.inference_mode()
def test_the_softmax_shares_each_bin_out_and_the_sigmoid_does_not() -> None:
    x = music(8)
    torch.testing.assert_close(small(model="softmax_unet").estimates(x).sum(dim=1), x)
    assert (small().estimates(x).sum(dim=1) - x).abs().max() > 0.1


@torch.inference_mode()
def test_the_gain_above_is_the_mean_of_the_top_octave_or_of_all_or_nothing() -> None:
    low = small().masks(
        music(8)[:, None].expand(-1, 3, -1, -1, -1) * torch.tensor([1.0, 2.0, 3.0])[:, None, None, None]
    )
    assert low[0, :, 0, 5, 0].tolist() == pytest.approx([1 / 14, 4 / 14, 9 / 14], rel=1e-5)
    average = small(mask_extension="average", separation_exponent=1.0)
    estimates = average.estimates(music(8))
    masks = average.masks(estimates)
    torch.testing.assert_close(masks[:, :, :, 16], masks[:, :, :, :16].mean(dim=3))
    torch.testing.assert_close(masks[:, :, :, :16], estimates / estimates.sum(dim=1, keepdim=True))
    above = {}
    for extension in ("octave", "zeros"):
        average.mask_extension = extension
        above[extension] = average.masks(estimates)
        torch.testing.assert_close(above[extension][:, :, :, :16], masks[:, :, :, :16], rtol=0, atol=0)
    torch.testing.assert_close(above["octave"][:, :, :, 16], masks[:, :, :, 8:16].mean(dim=3))
    assert above["zeros"][:, :, :, 16].abs().max() == 0
    assert small().mask_extension == "octave"


@pytest.mark.parametrize("model", ["unet", "softmax_unet", "blstm"])
@torch.inference_mode()
def test_training_is_about_estimates_not_about_their_ratio(model: str) -> None:
    network = small(model=model, lstm_units=5)
    x = music(8)
    taught = network.teach(x, torch.zeros(2, 3, 2, 16, 8))
    assert taught[:, :, :, 16].abs().max() == 0
    sounding = (x > 1e-3)[:, None].expand(-1, 3, -1, -1, -1)
    torch.testing.assert_close((taught[:, :, :, :16] * x[:, None])[sounding], network.estimates(x)[sounding])


@pytest.mark.parametrize("sizes", [(3, 5, 1, 6), (2, 1, 7, 3)])
def test_the_transposed_convolution_is_pytorchs_cut_as_tensorflow_does(sizes: tuple[int, int, int, int]) -> None:
    channels_in, channels_out, frames, bins = sizes
    torch.manual_seed(1)
    layer = Raise(channels_in, channels_out)
    x = torch.randn(2, channels_in, frames, bins)
    whole = F.conv_transpose2d(x, layer.weight, layer.bias, stride=2)
    torch.testing.assert_close(layer(x), whole[:, :, 1 : 1 + 2 * frames, 1 : 1 + 2 * bins])


@pytest.mark.parametrize("sizes", [(2, 4), (6, 10), (8, 2)])
def test_the_dilated_convolution_is_pytorchs(sizes: tuple[int, int]) -> None:
    torch.manual_seed(1)
    layer = Dilated(3)
    x = torch.randn(2, 1, *sizes)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias, dilation=2, padding=3))


@pytest.mark.parametrize(("down", "up"), [("leaky_relu", "relu"), ("elu", "elu")])
def test_a_frozen_u_net_computes_the_same(down: str, up: str) -> None:
    torch.manual_seed(2)
    network = UNet(2, (3, 5, 4), down, up)
    x = torch.randn(2, 2, 8, 24)
    with torch.inference_mode():
        before = network(x)
        network.freeze()
        torch.testing.assert_close(network(x), before, rtol=0, atol=1e-6)
        for layer in (*network.up, network.out):
            layer.weight.zero_()  # type: ignore[operator, union-attr]
        torch.testing.assert_close(network(x), before, rtol=0, atol=1e-6, msg="kernels are rearranged again")


def test_statistics_stay_as_they_are_in_training() -> None:
    norm = FrozenNorm(3).train()
    x = 4 + torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(norm(x), x / 1.001**0.5)
    assert norm.get_buffer("running_mean").abs().max() == 0


def test_every_parameter_in_use_learns() -> None:
    network = small().train()
    network(music(4)).square().sum().backward()
    idle = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert idle == {f"networks.{stem}.down_norms.1.{part}" for stem in STEMS for part in ("weight", "bias")}


@pytest.mark.parametrize("model", ["unet", "softmax_unet", "blstm"])
def test_the_contract_is_kept(model: str) -> None:
    network = Windowed(small(model=model, lstm_units=5), 8, 3, 2, 2, 1)
    assert check_network(network.eval()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": "vnet"},
        {"conv_activation": "ELU"},
        {"deconv_activation": ""},
        {"mask_extension": "mean"},
        {"bins": 18},
    ],
)
def test_words_and_sizes_that_are_not_known_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected one of|multiple of 4"):
        small(**arguments)


def test_a_window_must_fit_the_levels() -> None:
    with pytest.raises(ValueError, match="multiple of 4 frames"):
        Windowed(small(), 10, 10)


def as_spleeter_does(network: Spleeter, mixture: np.ndarray, window: int, wiener: bool = False) -> np.ndarray:
    """(S, 2, N): Spleeter's own transform, segmentation and inverse, in double precision around the network."""
    samples = mixture.shape[1]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(4096) / 4096)
    frames = ceil((samples + 4096) / 1024)
    padded = np.zeros((2, 1024 * frames + 3072))
    padded[:, 4096 : 4096 + samples] = mixture
    spectra = np.stack([np.fft.rfft(padded[:, 1024 * k : 1024 * k + 4096] * hann) for k in range(frames)])
    magnitudes = np.abs(spectra[:, :, : network.bins]).astype(np.float32)  # (T, C, F)
    magnitudes = np.pad(magnitudes, ((0, -frames % window), (0, 0), (0, 0))).transpose(1, 2, 0)
    with torch.inference_mode():
        parts = [network.estimates(part[None]) for part in torch.from_numpy(magnitudes).split(window, dim=2)]
        masks = torch.cat([network.masks(part) for part in parts], dim=4)[0].numpy()[..., :frames]
    rows = np.concatenate([masks[:, :, :-1], np.repeat(masks[:, :, -1:], 2049 - network.bins, axis=2)], axis=2)
    stems = rows.transpose(3, 0, 1, 2) * spectra[:, None]  # (T, S, C, bins)
    if wiener:
        estimates = torch.cat(parts, dim=4)[0].numpy()[..., :frames].transpose(3, 2, 1, 0)
        estimates = np.pad(estimates, ((0, 0), (0, 2049 - network.bins), (0, 0), (0, 0)))
        stems = wiener_filter(estimates, spectra.transpose(0, 2, 1)).transpose(0, 3, 2, 1)
    out = np.zeros((len(network.stems), *padded.shape))
    for k in range(frames):
        out[:, :, 1024 * k : 1024 * k + 4096] += np.fft.irfft(stems[k]) * hann * 2 / 3
    return out[:, :, 4096 : 4096 + samples]


def noise(samples: int) -> np.ndarray:
    random = np.random.default_rng(samples)
    swell = np.linspace(0.01, 0.5, samples, dtype=np.float32)
    return random.standard_normal((2, samples)).astype(np.float32) * swell


@pytest.mark.parametrize("samples", [1, 4097, 40 * 1024, 70001])
@pytest.mark.parametrize("chunk", [1, 7])
def test_a_song_is_separated_as_spleeter_does(samples: int, chunk: int) -> None:
    network = small(bins=1024, mask_extension="average")
    mixture = noise(samples)
    expected = as_spleeter_does(network, mixture, 16)
    stepper = TorchStepper(Windowed(network, 16, 16, lead=1), choose_compute("cpu"), chunk)
    separator = StreamSeparator(Processor(stepper), chunk)
    fed, flushed = separator.feed(mixture), separator.flush()
    found = np.stack([np.concatenate([fed[stem], flushed[stem]], axis=1) for stem in STEMS])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_song_is_separated_as_spleeter_does_with_its_wiener_filter() -> None:
    network = small(bins=1024, mask_extension="zeros")
    mixture = noise(50001)
    mixture[1] = 0.3 * mixture[0] + 0.7 * mixture[1]
    network.mask_exponent = 1.0
    with torch.no_grad():  # sigmoids that are driven to 0 for every stem share out nothing but rounding
        for unet in network.networks.values():
            unet.down[0].weight.mul_(0.02)  # type: ignore[union-attr, operator, index]
    stepper = TorchStepper(Windowed(network, 16, 16, lead=1), choose_compute("cpu"), 8)
    wiener = MultichannelWiener(len(STEMS), 2049)
    separator = StreamSeparator(Processor(stepper, wiener=wiener), 8)
    separator.learn([mixture[:, :12345], mixture[:, 12345:]])
    fed, flushed = separator.feed(mixture), separator.flush()
    found = np.stack([np.concatenate([fed[stem], flushed[stem]], axis=1) for stem in STEMS])
    np.testing.assert_allclose(found, as_spleeter_does(network, mixture, 16, wiener=True), atol=1e-5)
    again = separator.feed(mixture)
    np.testing.assert_array_equal(again["drums"], fed["drums"])
