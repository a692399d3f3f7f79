"""The wrapper that lets networks of whole windows stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from rtsep.nn.check import check_network, stepped
from rtsep.nn.windowed import Windowed, WindowNetwork
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute
from rtsep.separation.processor import Processor
from rtsep.separation.stream_separator import StreamSeparator
from rtsep.timebase import HOP
from tests.networks import LevelShares

# frames, stride, lookahead, fade, lead
SIZES = [
    (12, 12, 0, 0, 0),
    (12, 12, 0, 0, 5),
    (12, 3, 2, 2, 1),
    (16, 5, 7, 4, 3),
    (8, 1, 0, 0, 0),
    (9, 1, 8, 1, 0),
    (7, 4, 3, 3, 3),
]


class WholeWindow(WindowNetwork):
    """Every mask depends on all frames of its window, and on its own place among them."""

    def __init__(self, frames: int, channels: int = 2, bins: int = 3, gain: float = 0.2) -> None:
        super().__init__()
        self.stems, self.channels, self.bins = ("vocals", "drums"), channels, bins
        generator = torch.Generator().manual_seed(frames)
        self.register_buffer("mixing", gain * torch.randn(frames, frames, generator=generator))

    def forward(self, magnitudes: Tensor) -> Tensor:
        mixed = magnitudes @ self.get_buffer("mixing")
        first = torch.cat([mixed, mixed.mean(dim=2, keepdim=True)], dim=2).sigmoid()
        return torch.stack([first, 1 - first], dim=1)


def music(frames: int, batch: int = 1, bins: int = 3) -> Tensor:
    return 2 * torch.rand(batch, 2, bins, frames, generator=torch.Generator().manual_seed(frames)) ** 2


def windowed(sizes: tuple[int, ...], input_scale: str = "none") -> Windowed:
    return Windowed(WholeWindow(sizes[0]), *sizes, input_scale=input_scale).eval()


@pytest.mark.parametrize("input_scale", ["none", "running_max"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_contract_is_kept(sizes: tuple[int, ...], input_scale: str) -> None:
    assert check_network(windowed(sizes, input_scale)) == []


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@torch.inference_mode()
def test_masks_do_not_depend_on_the_chunk_nor_on_the_neighbour_in_the_batch(sizes: tuple[int, ...]) -> None:
    network = windowed(sizes, "running_max")
    x = torch.cat([music(53), 3 * music(53).flip(3)])
    late = network.lookahead_frames
    expected = network.forward(x)
    assert torch.equal(network.forward(x, chunk=4), expected)
    torch.testing.assert_close(network.forward(x[1:]), expected[1:])
    for chunk in (1, 5, 40):
        masks = stepped(network, x, chunk, network.init_state(2, 40))
        torch.testing.assert_close(masks[..., late:], expected[..., : 53 - late])


@pytest.mark.parametrize("lead", [0, 1, 11])
@torch.inference_mode()
def test_a_stride_of_the_whole_window_is_the_plain_segmentation(lead: int) -> None:
    network = windowed((12, 12, 0, 0, lead))
    x = music(40)
    padded = torch.nn.functional.pad(x, (lead, -(40 + lead) % 12))
    expected = torch.cat([network.network(part) for part in padded.split(12, dim=3)], dim=4)[..., lead : lead + 40]
    torch.testing.assert_close(network.forward(x), expected)


@torch.inference_mode()
def test_only_the_middle_of_windows_is_used_and_successive_ones_are_faded() -> None:
    """Window 16: 3 frames before, a block of 5, 8 behind, of which 4 fade."""
    network = windowed((16, 5, 8, 4, 0))
    x = music(23)
    padded = torch.nn.functional.pad(x, (3, 16))
    windows = [network.network(padded[..., 5 * block : 5 * block + 16])[..., 3:] for block in range(5)]
    plain = torch.cat([window[..., :5] for window in windows], dim=4)[..., :23]
    masks = network.forward(x)
    for block in range(1, 4):
        for frame in range(4):
            share = (frame + 1) / 5
            expected = (1 - share) * windows[block - 1][..., 5 + frame] + share * windows[block][..., frame]
            torch.testing.assert_close(masks[..., 5 * block + frame], expected)
    unfaded = [frame for frame in range(23) if frame < 5 or frame % 5 == 4]
    torch.testing.assert_close(masks[..., unfaded], plain[..., unfaded])


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_context_and_lookahead_are_as_far_as_a_mask_depends(sizes: tuple[int, ...]) -> None:
    network = windowed(sizes)
    back, ahead = set(), set()
    for frame in range(30, 30 + sizes[1]):
        x = music(80).requires_grad_()
        (network.forward(x)[0, 0, ..., frame] * torch.rand(2, 4)).sum().backward()
        assert x.grad is not None
        touched = x.grad[0].abs().amax(dim=(0, 1)).nonzero().flatten()
        back.add(frame - int(touched[0]))
        ahead.add(int(touched[-1]) - frame)
    assert max(back) + 1 == network.context_frames
    assert max(ahead) == network.lookahead_frames


@torch.inference_mode()
def test_a_running_maximum_makes_a_quieter_song_the_same() -> None:
    network = windowed((12, 3, 2, 2, 1), "running_max")
    x = music(40)
    torch.testing.assert_close(network.forward(0.01 * x), network.forward(x))
    plain = windowed((12, 3, 2, 2, 1))
    assert (plain.forward(0.01 * x) - plain.forward(x)).abs().max() > 0.01


def test_state_is_written_in_place() -> None:
    network = windowed((16, 5, 7, 4, 3))
    state = network.init_state(1, 4)
    before = [tensor.data_ptr() for tensor in state.tensors()]
    with torch.inference_mode():
        stepped(network, music(50), 3, state)
    assert [tensor.data_ptr() for tensor in state.tensors()] == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"frames": 12, "stride": 0}, "stride 0"),
        ({"frames": 12, "stride": 10, "lookahead": 3}, "fit into a window"),
        ({"frames": 12, "stride": 4, "lookahead": -1}, "fit into a window"),
        ({"frames": 12, "stride": 4, "lookahead": 3, "fade": 4}, "fade"),
        ({"frames": 12, "stride": 4, "lead": 4}, "lead"),
        ({"frames": 12, "stride": 4, "input_scale": "loud"}, "input_scale"),
        ({"frames": 13, "stride": 4}, "multiple of 6"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments: dict[str, int], complaint: str) -> None:
    network = WholeWindow(12)
    network.frames_multiple = 6
    with pytest.raises(ValueError, match=complaint):
        Windowed(network, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("samples", [3 * HOP + 5, 20 * HOP + 1])
def test_stems_come_out_whole_and_in_their_place(samples: int, chunk: int) -> None:
    """Masks at the wrong frame would show where the level changes."""
    network = Windowed(LevelShares(), 12, 5, 3, 2, 1)
    mixture = np.random.default_rng(1).standard_normal((2, samples)).astype(np.float32) * 0.1
    mixture[:, samples // 2 :] *= 20
    stems = []
    for stepped_network in (network, Windowed(LevelShares(), 1, 1)):
        stepper = TorchStepper(stepped_network, choose_compute("cpu"), chunk)
        assert stepper.way == "eager"
        separator = StreamSeparator(Processor(stepper), chunk)
        fed, flushed = separator.feed(mixture), separator.flush()
        stems.append(np.stack([np.concatenate([fed[stem], flushed[stem]], axis=1) for stem in separator.stems]))
    assert stems[0].shape == (2, 2, samples)
    np.testing.assert_allclose(stems[0].sum(axis=0), mixture, atol=1e-4)
    np.testing.assert_allclose(stems[0], stems[1], atol=1e-5)


@torch.inference_mode()
def test_training_sees_whole_windows_each_scaled_by_itself() -> None:
    network = Windowed(WholeWindow(8), frames=8, stride=2, lookahead=3, fade=1, input_scale="running_max")
    x = music(20, batch=2)
    masks = network.teach(x, torch.zeros(2, 2, 2, 3, 20))
    assert masks.shape == (2, 2, 2, 4, 20)
    for start in (0, 8):
        window = x[..., start : start + 8]
        expected = network.network(window / window.amax(dim=(1, 2, 3), keepdim=True))
        torch.testing.assert_close(masks[..., start : start + 8], expected)
    last = torch.cat([x[..., 16:], torch.zeros_like(x[..., :4])], dim=3)
    expected = network.network(last / last.amax(dim=(1, 2, 3), keepdim=True))
    torch.testing.assert_close(masks[..., 16:], expected[..., :4])
