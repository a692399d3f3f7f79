"""Songs cut as the authors of the vocal removers cut them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rtsep.nn.fixed_windows import merge_artifacts, padding, whole_song_masks


def stamped(window: Tensor) -> Tensor:
    """A network whose masks are its input, one bin more: (B, C, F, T) -> (B, 1, C, F + 1, T)."""
    return torch.cat([window, window[:, :, -1:]], dim=2)[:, None]


def centre_only(window: Tensor) -> Tensor:
    """As `stamped`, but wrong in the first and last frames of a window."""
    masks = stamped(window)
    masks[..., :2] = 9.0
    masks[..., -2:] = 9.0
    return masks


def test_a_song_that_fills_its_windows_gets_one_more() -> None:
    assert padding(300, 256, 64) == (64, 84 + 64, 128)
    assert padding(256, 256, 64) == (64, 128 + 64, 128)
    assert padding(1024, 1024, 0) == (0, 1024, 1024)
    with pytest.raises(ValueError, match="nothing"):
        padding(10, 8, 4)


@pytest.mark.parametrize("passes", ["plain", "shifted", "sliding"])
@pytest.mark.parametrize("frames", [1, 7, 24, 37])
def test_every_frame_gets_its_own_masks(frames: int, passes: str) -> None:
    song = torch.rand(2, 5, frames, generator=torch.Generator().manual_seed(frames))
    masks = whole_song_masks(stamped, song, 8, 0, passes, batch=2)  # type: ignore[arg-type]
    expected = stamped(song[None])[0]
    torch.testing.assert_close(masks, expected)


@pytest.mark.parametrize("passes", ["plain", "shifted"])
def test_the_margins_of_windows_are_thrown_away(passes: str) -> None:
    song = torch.rand(2, 5, 29, generator=torch.Generator().manual_seed(1))
    masks = whole_song_masks(centre_only, song, 12, 2, passes)  # type: ignore[arg-type]
    torch.testing.assert_close(masks, stamped(song[None])[0])


def test_sliding_passes_begin_half_a_window_apart() -> None:
    def first_frame(window: Tensor) -> Tensor:
        masks = torch.zeros(len(window), 1, 1, 2, window.shape[3])
        masks[..., 0] = 1.0
        return masks

    masks = whole_song_masks(first_frame, torch.zeros(1, 1, 32), 8, 0, "sliding")[0, 0, 0]
    assert masks[0] == 0.5 and masks[4] == pytest.approx(2 / 3) and masks[8] == pytest.approx(1 / 3)


def run_mask(frames: int, *runs: tuple[int, int]) -> Tensor:
    """0.01 throughout, 0.5 in frames [start, stop) of the runs."""
    mask = torch.full((2, 3, frames), 0.01)
    for start, stop in runs:
        mask[..., start:stop] = 0.5
    return mask


def test_long_runs_without_a_voice_pass_with_fades() -> None:
    mask = run_mask(300, (20, 60), (100, 200))
    mended = merge_artifacts(mask)
    torch.testing.assert_close(mended[..., :100], mask[..., :100])  # 40 frames are no run
    torch.testing.assert_close(mended[..., 200:], mask[..., 200:])
    assert (mended[..., 132:167] == 1).all()
    fade = mended[0, 0, 100:132]
    assert fade[0] == 0.5 and fade[-1] == 1.0 and (fade.diff() > 0).all()


def test_a_run_from_the_first_frame_has_no_fade_there() -> None:
    mended = merge_artifacts(run_mask(200, (0, 90)))
    assert (mended[..., :57] == 1).all() and mended[0, 0, 89] == 0.5


def test_a_mask_without_runs_stays() -> None:
    mask = run_mask(100)
    assert torch.equal(merge_artifacts(mask), mask)
    with pytest.raises(ValueError, match="no room"):
        merge_artifacts(mask, shortest=63)
