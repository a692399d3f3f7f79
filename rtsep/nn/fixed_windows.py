"""Separate a whole song with a network of fixed windows, segmented as by the authors of the vocal removers.

The song, divided by its largest magnitude, is padded with zeros and cut into windows; the masks of the `margin` frames
at either end of a window are discarded. Test-time augmentation averages passes with shifted windows. An option corrects
masks where there are no vocals. Sources: inference.py and lib/spec_utils.py of tsurumeso/vocal-remover
(v5.1.1), inference.py of carperbr/vocal-remover-frame-transformer (5bc163f).

Dimensions: B batch, S stems, C channels, F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Passes = Literal["plain", "shifted", "sliding"]


def padding(frames: int, window: int, margin: int) -> tuple[int, int, int]:
    """Zero frames before and behind a song, and the frames that are kept of each window.

    A song that fills its windows exactly gets one window more, as with the authors.
    """
    kept = window - 2 * margin
    if kept < 1:
        raise ValueError(f"margins of {margin} leave nothing of a window of {window} frames")
    return margin, kept - frames % kept + margin, kept


@torch.inference_mode()
def whole_song_masks(
    network: Callable[[Tensor], Tensor],
    magnitudes: Tensor,
    window: int,
    margin: int = 0,
    passes: Passes = "plain",
    batch: int = 4,
) -> Tensor:
    """Masks (S, C, F + 1, T) of a song's magnitudes (C, F, T), scaled as the network wants them.

    Args:
        network: in evaluation mode, (B, C, F, window) -> (B, S, C, F + 1, window).
        passes: plain; shifted, the mean with a pass half a window's kept frames earlier (the authors' TTA); sliding,
            the mean with passes half a window earlier and later, each where it reaches (the authors' sliding TTA).
        batch: windows at once.
    Raises ValueError if the margins leave nothing of a window.
    """
    frames = magnitudes.shape[-1]
    left, right, kept = padding(frames, window, margin)
    if passes == "shifted":
        half = kept // 2
        plain = _pass(network, F.pad(magnitudes, (left, right)), window, margin, batch)
        shifted = _pass(network, F.pad(magnitudes, (left + half, right + half)), window, margin, batch)
        return (plain[..., :frames] + shifted[..., half : half + frames]) / 2
    song = F.pad(magnitudes, (left, right))
    total = _pass(network, song, window, margin, batch)
    if passes == "plain":
        return total[..., :frames]
    half, length = window // 2, total.shape[-1]
    count = torch.ones(length, device=total.device)
    later = _pass(network, F.pad(song, (half, -half)), window, margin, batch)
    total[..., : length - half] += later[..., half:]
    count[: length - half] += 1
    earlier = _pass(network, F.pad(song, (-half, half)), window, margin, batch)
    total[..., half:] += earlier[..., : length - half]
    count[half:] += 1
    return (total / count)[..., :frames]


def _pass(network: Callable[[Tensor], Tensor], song: Tensor, window: int, margin: int, batch: int) -> Tensor:
    """Masks of a padded song but for its outer margins."""
    windows = song.unfold(2, window, window - 2 * margin).permute(2, 0, 1, 3)
    kept = [network(part.contiguous())[..., margin : window - margin] for part in windows.split(batch)]
    return torch.cat(kept).permute(1, 2, 3, 0, 4).flatten(3)


def merge_artifacts(mask: Tensor, threshold: float = 0.05, shortest: int = 64, fade: int = 32) -> Tensor:
    """Where a whole frame passes the instrumental mask (C, F, T) for long, no voice sounds: let all of it pass.

    Runs of more than `shortest` frames whose smallest mask exceeds `threshold` are raised to 1, with linear fades of
    `fade` frames at their ends but for a song's first frame. The rules for neighbours closer than a fade, and the fade
    at a song's last frame, are those of the authors' code, whose condition against the latter never holds. A mask
    without such runs is returned as it is; their code fails there.

    Raises ValueError if two fades are longer than the shortest run.
    """
    if shortest < 2 * fade:
        raise ValueError(f"runs of {shortest} frames have no room for two fades of {fade}")
    clear = (mask.flatten(0, 1).amin(dim=0) > threshold).int()
    turns = torch.diff(F.pad(clear, (1, 1)))
    starts, ends = (turns == 1).nonzero().flatten().tolist(), (turns == -1).nonzero().flatten().tolist()
    weight = mask.new_zeros(mask.shape[2])
    rise = torch.linspace(0, 1, fade, dtype=mask.dtype, device=mask.device)
    before = None
    for start, end in zip(starts, (end - 1 for end in ends), strict=True):  # both within the run
        if end - start <= shortest:
            continue
        if before is not None and start - before < fade:
            start = before - 2 * fade
        if start == 0:
            weight[:fade] = 1
        else:
            weight[start : start + fade] = rise
        weight[end - fade : end] = rise.flip(0)
        weight[start + fade : end - fade] = 1
        before = end
    return mask + weight * (1 - mask)
