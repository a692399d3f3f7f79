"""Spleeter's U-nets as the sound comes: the same as whole windows that reach back for ever, whatever the sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from rtsep.bundle import find_bundle
from rtsep.nn.check import check_network
from rtsep.nn.spleeter import Spleeter
from rtsep.nn.spleeter_live import LiveSpleeter
from rtsep.nn.spleeter_unet import FrozenNorm

# filters, frames, stride, lookahead, deep_stride
SIZES = [
    ((3, 4, 5), 16, 1, 0, 0),
    ((3, 4, 5), 16, 2, 1, 8),
    ((3, 4, 5), 32, 4, 0, 8),
    ((2, 3, 4, 3), 32, 1, 3, 4),
    ((2, 3, 4, 3), 48, 2, 0, 2),
    ((2, 3, 4, 3), 32, 4, 2, 4),
    ((2, 3, 2, 3, 2, 3), 64, 4, 2, 16),
]
IDS = [f"{len(filters)}-levels-{'-'.join(map(str, rest))}" for filters, *rest in SIZES]


def live(filters: tuple[int, ...], *sizes: int, model: str = "unet") -> LiveSpleeter:
    torch.manual_seed(sum(sizes))
    network = Spleeter(("vocals", "drums", "other"), bins=2 ** len(filters) * 2, filters=filters, model=model)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for norm in (module for module in network.modules() if isinstance(module, FrozenNorm)):
            norm.get_buffer("running_mean").normal_()
    return LiveSpleeter(network, *sizes).eval().requires_grad_(False)


def music(network: LiveSpleeter, frames: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(frames)
    return 5 * torch.rand(batch, 2, network.bins, frames, generator=generator) ** 2


@torch.inference_mode()
def by_whole_windows(network: LiveSpleeter, x: Tensor) -> Tensor:
    """The masks by plain U-nets, for every block anew: all levels but the deep ones see all the past."""
    frames, stride, lookahead, shallow = network.frames, network.stride, network.lookahead, network.shallow
    spleeter = network.network
    assert isinstance(spleeter, Spleeter)
    masks, deep = [], {}
    first_end = lookahead % stride or stride
    for window in range((x.shape[3] + lookahead) // stride + 2):
        end = first_end + window * stride
        past = F.pad(x, (4 * frames, max(0, end - x.shape[3])))[..., : 4 * frames + end]
        past = past[..., past.shape[3] % frames :].transpose(2, 3)
        outputs = []
        for stem, unet in enumerate(spleeter.networks.values()):
            level, skips = past, []
            for number in range(shallow):
                skips.append(unet.down[number](F.pad(level, (1, 2, 1, 2))))  # type: ignore[index, operator, union-attr]
                level = unet.activate_down(unet.down_norms[number](skips[-1]))  # type: ignore[index, operator, union-attr]
            if window == 0 or window % network.deep_windows == stem * network.deep_windows // len(network.stems):
                deep[stem] = unet.below(level[:, :, -(frames >> shallow) :], shallow)  # type: ignore[operator]
            level = deep[stem]
            for number in range(shallow, 0, -1):
                layer = len(unet.up) - number  # type: ignore[arg-type]
                level = torch.cat([skips[number - 1][:, :, -level.shape[2] :], level], dim=1)
                level = unet.up_norms[layer](unet.activate_up(unet.up[layer](level)))  # type: ignore[index, operator]
            outputs.append(unet.out(level))  # type: ignore[operator]
        block = slice(frames - lookahead - stride, frames - lookahead)
        shares = spleeter.shares(torch.stack(outputs, dim=1)[:, :, :, block])
        estimates = shares * past[:, None, :, -frames:][:, :, :, block]
        masks.append(spleeter.masks(estimates.transpose(3, 4)))
    first = first_end - stride - lookahead  # frame of the first mask
    return torch.cat(masks, dim=-1)[..., -first : x.shape[3] - first]


@pytest.mark.parametrize("sizes", SIZES, ids=IDS)
@torch.inference_mode()
def test_masks_are_those_of_whole_windows_that_hear_all_the_past(sizes: tuple) -> None:
    network = live(*sizes, model="softmax_unet" if sizes[2] == 2 else "unet")
    x = music(network, 75 if sizes[2] > 1 else 40)
    masks = network.forward(x)
    assert masks.std() > 0.1
    torch.testing.assert_close(masks, by_whole_windows(network, x), rtol=0, atol=1e-5)


def test_the_real_weights_play_as_whole_windows_of_them(real_spleeter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(real_spleeter.parent))
    network = find_bundle("spleeter-live-2stems").load_network()
    assert isinstance(network, LiveSpleeter)
    x = music(network, 15)
    torch.testing.assert_close(network.forward(x), by_whole_windows(network, x), rtol=0, atol=1e-4)


def test_the_contract_is_kept() -> None:
    assert check_network(live(*SIZES[1])) == []


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.sampled_from(SIZES))
@settings(max_examples=8, deadline=None)
@torch.inference_mode()
def test_steps_of_any_sizes_give_the_same_masks(parts: list[int], sizes: tuple) -> None:
    network = live(*sizes)
    x = music(network, sum(parts), batch=2)
    state = network.init_state(2, 20)
    found = torch.cat([network.step(part, state).clone() for part in x.split(parts, dim=3)], dim=4)
    late = network.lookahead_frames
    torch.testing.assert_close(found[..., late:], network.forward(x)[..., : sum(parts) - late], rtol=0, atol=1e-5)


@torch.inference_mode()
def test_frames_that_are_only_heard_are_known_to_the_next_step() -> None:
    network = live(*SIZES[1])
    border = 3 * network.stride + network.lookahead_frames
    before, after = music(network, border + 8).split([border, 8], dim=3)
    stepped, heard = network.init_state(1, border), network.init_state(1, border)
    network.step(before, stepped)
    network.hear(before, heard)
    torch.testing.assert_close(network.step(after, heard), network.step(after, stepped))


@torch.inference_mode()
def test_frozen_layers_are_arranged_once_for_all_streams() -> None:
    network = live(*SIZES[1])
    x = music(network, 40)
    before = network.forward(x)
    network.freeze()
    assert torch.equal(network.forward(x), before)
    first, second = network.init_state(), network.init_state()
    assert all(a.layers is b.layers for a, b in zip(first.unets, second.unets, strict=True))


@torch.inference_mode()
def test_a_mask_depends_on_frames_as_far_back_as_the_context_and_no_further() -> None:
    network = live(*SIZES[4])
    x = music(network, 200)
    masks = network.forward(x)
    for back, changes in ((network.context_frames, False), (network.context_frames - 2 * network.stride, True)):
        changed = x.clone()
        changed[..., : 150 - back + 1] *= 2
        moved = (network.forward(changed) - masks)[..., 150:].abs().max() > 1e-5
        assert moved == changes, back


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (((3, 4, 5), 16, 3), "power of two"),
        (((3, 4, 5), 16, 2, 0, 3), "multiple of the stride"),
        (((3, 4, 5), 16, 8, 8), "too short"),
        (((3, 4, 5), 12, 1), "multiple of 8"),
        (((3,), 16, 1), "two levels"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments: tuple, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        live(*arguments)


def test_a_blstm_is_refused() -> None:
    with pytest.raises(ValueError, match="BLSTM"):
        live((3, 4, 5), 16, 1, model="blstm")
