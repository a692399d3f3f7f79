"""The streaming contract: the interface of every network the player runs.

A network turns magnitude frames into one real mask per stem. The engine knows nothing else about it:

    state = net.init_state(batch, max_chunk)
    masks = net.step(magnitudes, state)            # K frames at a time, state written in place
    masks = net.forward(magnitudes, chunk=K)       # a whole song in one call, the same masks

Dimensions: B batch, S stems, C channels, F bins of the network's input, T or K frames. Masks have F + 1 rows: row f < F
is the gain of bin f, row F the gain of every bin above.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn


@dataclass
class State:
    """Base of all streaming states: a tree of tensors, allocated once and only ever written in place.

    A subclass is a dataclass whose fields are tensors, states, or lists of states. The state before the first frame is
    all zeros.
    """

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor of the tree, always in the same order."""
        for field in fields(self):
            value = getattr(self, field.name)
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, State):
                    yield from item.tensors()
                elif isinstance(item, Tensor):
                    yield item

    def reset(self) -> None:
        """Forget all frames."""
        for tensor in self.tensors():
            tensor.zero_()

    def snapshot(self, into: list[Tensor] | None = None) -> list[Tensor]:
        """A copy of the state for `restore`, independent of later steps.

        `into`: an earlier snapshot of such a state to overwrite instead of allocating a new one.
        """
        if into is None:
            return [tensor.clone() for tensor in self.tensors()]
        for saved, tensor in zip(into, self.tensors(), strict=True):
            saved.copy_(tensor)
        return into

    def restore(self, snapshot: list[Tensor]) -> None:
        """Copy a snapshot back into the same buffers.

        Raises ValueError if it was taken from a state of another shape.
        """
        own = list(self.tensors())
        if len(own) != len(snapshot) or any(a.shape != b.shape for a, b in zip(own, snapshot, strict=True)):
            raise ValueError("the snapshot was taken from a state of another shape")
        for tensor, saved in zip(own, snapshot, strict=True):
            tensor.copy_(saved)


class StreamingNetwork(nn.Module):
    """The interface of a network.

    Attributes:
        stems: names of the S stems, in the order of the mask axis.
        channels: C, audio channels.
        bins: F, the number of bins of its input, the lowest of the spectrum.
        context_frames: frames (its own included) that one attention may look back at.
        lookahead_frames: how many frames beyond its own chunk a mask depends on.
        mask_exponent: p, where masks are estimate^p over the sum of all estimates^p. It may be set before the first
            step: the Wiener filter wants the estimates' own shares, p = 1.
        mask_extension: how the gain above the bins follows from the masks, where the network does not estimate it (see
            `rtsep.nn.spleeter.Spleeter`); None where it does. It may be set before the first step.
        capturable: every step of K frames is the same work, so that a CUDA graph can be made of it.
        scaled_by_peak: its authors divide a song by its largest magnitude, and frame it as librosa does.
        stride: masks are computed for so many frames at once: with the first frame that follows `lookahead_frames`
            and a multiple of `stride` others, and with every `stride`-th from there on.
    """

    stems: tuple[str, ...]
    channels: int
    bins: int
    context_frames: int
    lookahead_frames: int = 0
    mask_exponent: float = 1.0
    mask_extension: str | None = None
    capturable: bool = True
    scaled_by_peak: bool = False
    stride: int = 1

    @property
    def mask_rows(self) -> int:
        """Rows of a mask: one per bin, and one for the whole band above."""
        return self.bins + 1

    def freeze(self) -> None:
        """Precompute what depends on weights and device alone; they must not change afterwards. May do nothing."""

    def init_state(self, batch: int = 1, max_chunk: int = 32) -> State:
        """A fresh state for `batch` streams and steps of at most `max_chunk` frames, on the network's device."""
        raise NotImplementedError(f"{type(self).__name__} must define init_state")

    def expect_peak(self, peak: float, state: State) -> None:
        """Tell a `scaled_by_peak` network, right after a reset, the largest magnitude of the song that follows."""
        raise ValueError(f"{type(self).__name__} does not scale its input by a song's largest magnitude")

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        """Masks (B, S, C, F + 1, K) of the K frames that ended `lookahead_frames` ago.

        Args:
            magnitudes: (B, C, F, K), linear, 1 <= K <= max_chunk.
            state: from `init_state`; written in place.

        The result may be a view of a buffer that the next step overwrites. The first `lookahead_frames` masks after a
        reset belong to no frame.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step")

    def hear(self, magnitudes: Tensor, state: State) -> None:
        """`step` for frames whose masks nobody wants, in less time where that is possible.

        The next step must begin with a frame with which masks are computed; see `stride`.
        """
        self.step(magnitudes, state)

    def forward(self, magnitudes: Tensor, chunk: int | None = None) -> Tensor:
        """Masks (B, S, C, F + 1, T) of a whole recording, as steps of `chunk` frames give them (None: one chunk).

        Not a loop over `step`: one call, for training and for files.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def teach(self, magnitudes: Tensor, stems: Tensor, chunk: int | None = None) -> Tensor:
        """Masks as `forward` gives them, for training, with the stems' true magnitudes (B, S, C, F, T) at hand."""
        return self(magnitudes, chunk)

    def validate(self, magnitudes: Tensor, max_chunk: int | None = None) -> None:
        """Raise ValueError unless `magnitudes` is (B, C, F, K) with 1 <= K (<= max_chunk)."""
        expected = (self.channels, self.bins)
        if magnitudes.ndim != 4 or tuple(magnitudes.shape[1:3]) != expected or magnitudes.shape[3] < 1:
            raise ValueError(
                f"expected magnitudes (batch, {self.channels}, {self.bins}, frames >= 1), got {tuple(magnitudes.shape)}"
            )
        if max_chunk is not None and magnitudes.shape[3] > max_chunk:
            raise ValueError(f"a step takes at most {max_chunk} frames here, got {magnitudes.shape[3]}")


def spread_high_band(masks: Tensor, bins: int) -> Tensor:
    """Masks with one row for every judged bin: (..., F + 1, n) -> (..., bins, n); the last row is repeated."""
    low, high = masks[..., :-1, :], masks[..., -1:, :]
    return torch.cat([low, high.expand(*high.shape[:-2], bins - low.shape[-2], high.shape[-1])], dim=-2)
