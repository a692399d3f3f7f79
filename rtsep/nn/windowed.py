"""The wrapper that streams a network of whole windows: a ring of frames as input, cross-faded masks as output.

The song is cut into blocks of `stride` frames; the first begins `lead` frames of silence before the song. Every block
gets its masks from a window of `frames` frames that reaches `lookahead` frames beyond it:

    |<----------------- window ----------------->|
                     |<-- block -->|<-lookahead->|
                     |<-fade->|

In the first `fade` frames of a block the masks are cross-faded from those of the previous window, which had these
frames in its lookahead. `stride = frames` is the segmentation of most authors, and exact; for live use a short stride
has less latency and costs more. The position of blocks depends on the last reset alone, not on the size of steps.

Letters: B batch, S stems, C channels, F bins, K frames of a step, W frames of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.contract import State, StreamingNetwork

INPUT_SCALES = ("none", "running_max")


class WindowNetwork(nn.Module):
    """The interface of a network of whole windows.

    Attributes:
        stems: names of the S stems, in the order of the mask axis.
        channels: C, audio channels.
        bins: F, the lowest bins of the spectrum, which the network sees.
        frames_multiple: the frames of a window must be a multiple of this.
        mask_exponent, mask_extension: as of a `StreamingNetwork`.
    """

    stems: tuple[str, ...]
    channels: int
    bins: int
    frames_multiple: int = 1
    mask_exponent: float = 1.0
    mask_extension: str | None = None

    def freeze(self) -> None:
        """As of a `StreamingNetwork`."""

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Masks (B, S, C, F + 1, W) of windows (B, C, F, W); row F is the gain of every bin above."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def teach(self, magnitudes: Tensor, stems: Tensor) -> Tensor:
        """Masks for training, as `forward` gives them, with the stems' true magnitudes (B, S, C, F, W) at hand."""
        return self.forward(magnitudes)


@dataclass
class WindowedState(State):
    """The ring of the last frames (W, B, C, F), and masks, frames first, (..., B, S, C, F + 1)."""

    max_chunk: int
    position: Tensor
    """Frames since the reset. It stays on the CPU, which decides by it when a window is due."""
    ring: Tensor
    peak: Tensor
    """The largest magnitude since the reset, or of the song where it is known, (B,)."""
    block: Tensor
    """Masks of the block that is being given out, `stride` of them."""
    after: Tensor
    """Masks of the same window for the `fade` frames after the block."""
    follows: Tensor
    """Whether `after` belongs to the block before the next one; on the CPU."""
    out: Tensor


class Windowed(StreamingNetwork):
    """Streams `network`: a mask comes `stride + lookahead - 1` frames late, and a stride of steps computes one window.

    Args:
        network: in the same mode and on the same device as this.
        frames: W, of a window.
        stride: frames of a block, from which the next window is computed.
        lookahead: frames of a window beyond its block.
        fade: frames over which the masks of successive windows are cross-faded.
        lead: frames of silence before the first frame that belong to the first block.
        input_scale: running_max divides a window by the largest magnitude heard up to its end, or by the song's where
            `expect_peak` was told it; none leaves it alone.
    Raises ValueError for sizes that do not fit together.
    """

    capturable = False

    def __init__(
        self,
        network: WindowNetwork,
        frames: int,
        stride: int,
        lookahead: int = 0,
        fade: int = 0,
        lead: int = 0,
        input_scale: str = "none",
    ) -> None:
        super().__init__()
        if stride < 1 or lookahead < 0 or stride + lookahead > frames:
            raise ValueError(f"stride {stride} and lookahead {lookahead} must fit into a window of {frames} frames")
        if frames % network.frames_multiple:
            raise ValueError(f"a window must be a multiple of {network.frames_multiple} frames, got {frames}")
        if not 0 <= fade <= min(stride, lookahead):
            raise ValueError(f"fade must lie in 0..{min(stride, lookahead)}, the lesser of stride and lookahead")
        if not 0 <= lead < stride:
            raise ValueError(f"lead must lie in 0..{stride - 1}, within the first block, got {lead}")
        if input_scale not in INPUT_SCALES:
            raise ValueError(f"input_scale must be one of {', '.join(INPUT_SCALES)}, got {input_scale!r}")
        self.network = network
        self.stems, self.channels, self.bins = network.stems, network.channels, network.bins
        self.frames, self.stride, self.lookahead, self.fade, self.lead = frames, stride, lookahead, fade, lead
        self.input_scale, self.scaled_by_peak = input_scale, input_scale == "running_max"
        self.context_frames = frames - lookahead + fade
        self.lookahead_frames = stride + lookahead - 1
        self._before = frames - stride - lookahead  # frames of a window before its block
        self._first_end = stride + lookahead - lead  # frames heard when the first window is complete
        self.register_buffer("rise", torch.arange(1, fade + 1) / (fade + 1), persistent=False)

    @property
    def mask_exponent(self) -> float:
        return self.network.mask_exponent

    @mask_exponent.setter
    def mask_exponent(self, exponent: float) -> None:  # type: ignore[override]
        self.network.mask_exponent = exponent

    @property
    def mask_extension(self) -> str | None:
        return self.network.mask_extension

    @mask_extension.setter
    def mask_extension(self, extension: str | None) -> None:  # type: ignore[override]
        self.network.mask_extension = extension

    def freeze(self) -> None:
        self.network.freeze()

    def init_state(self, batch: int = 1, max_chunk: int = 32) -> State:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, device=self.get_buffer("rise").device)

        masks = (batch, len(self.stems), self.channels, self.mask_rows)
        return WindowedState(
            max_chunk,
            torch.zeros((), dtype=torch.int64),
            zeros(self.frames, batch, self.channels, self.bins),
            zeros(batch),
            zeros(self.stride, *masks),
            zeros(self.fade, *masks),
            torch.zeros((), dtype=torch.bool),
            zeros(max_chunk, *masks),
        )

    def expect_peak(self, peak: float, state: State) -> None:
        assert self.scaled_by_peak and isinstance(state, WindowedState)
        state.peak.fill_(peak)

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        assert isinstance(state, WindowedState)
        self.validate(magnitudes, state.max_chunk)
        arriving = magnitudes.permute(3, 0, 1, 2)
        steps, taken = len(arriving), 0
        position = int(state.position)
        while taken < steps:
            # A window is complete with the first frame of a piece or with none of it.
            phase = (position + 1 - self._first_end) % self.stride
            count = min(1 if phase == 0 else self.stride - phase, steps - taken)
            self._keep(arriving[taken : taken + count], position, state)
            position += count
            if phase == 0 and position >= self._first_end:
                self._compute_block(position, state)
            state.out[taken : taken + count] = state.block[phase : phase + count]
            taken += count
        state.position.fill_(position)
        return state.out[:steps].permute(1, 2, 3, 4, 0)

    def hear(self, magnitudes: Tensor, state: State) -> None:
        """Keep the frames and compute no window; the next one is not faded in."""
        assert isinstance(state, WindowedState)
        self.validate(magnitudes, state.max_chunk)
        arriving = magnitudes.permute(3, 0, 1, 2)
        position = int(state.position)
        for first in range(0, len(arriving), self.frames):
            piece = arriving[first : first + self.frames]
            self._keep(piece, position + first, state)
        state.position.fill_(position + len(arriving))
        state.follows.fill_(False)

    def forward(self, magnitudes: Tensor, chunk: int | None = None) -> Tensor:
        """As the contract says; the masks are the same for every `chunk`. Beyond the end is silence."""
        self.validate(magnitudes)
        frames = magnitudes.shape[3]
        blocks = -(-(frames + self.lead) // self.stride)
        ends = [self._first_end + block * self.stride for block in range(blocks)]
        padded = F.pad(magnitudes, (self._before + self.lead, ends[-1] - frames))
        peaks = magnitudes.amax(dim=(1, 2)).cummax(dim=1).values
        rise = self.get_buffer("rise")
        pieces: list[Tensor] = []
        after: Tensor | None = None
        for window, end in zip(padded.unfold(3, self.frames, self.stride).unbind(3), ends, strict=True):
            masks = self._masks(window, peaks[:, min(end, frames) - 1])[..., self._before :]
            head = masks[..., : self.fade]
            pieces.append(head.clone() if after is None else torch.lerp(after, head, rise))
            pieces.append(masks[..., self.fade : self.stride].clone())
            after = masks[..., self.stride : self.stride + self.fade].clone()
        return torch.cat(pieces, dim=-1)[..., self.lead : self.lead + frames]

    def teach(self, magnitudes: Tensor, stems: Tensor, chunk: int | None = None) -> Tensor:
        """Masks of whole windows side by side, each scaled by its own: training needs no overlap and no past."""
        self.validate(magnitudes)
        frames = magnitudes.shape[3]
        windows = [
            F.pad(x, (0, -frames % self.frames)).unflatten(-1, (-1, self.frames)).movedim(-2, 1).flatten(0, 1)
            for x in (magnitudes, stems)
        ]
        if self.input_scale == "running_max":
            peak = windows[0].amax(dim=(1, 2, 3))
            peak = torch.where(peak > 0, peak, 1.0)
            windows = [x / peak.view(-1, *[1] * (x.ndim - 1)) for x in windows]
        masks = self.network.teach(*windows).unflatten(0, (len(magnitudes), -1))
        return masks.movedim(1, -2).flatten(-2)[..., :frames]

    def _keep(self, arriving: Tensor, position: int, state: WindowedState) -> None:
        """Frames (n, B, C, F), n <= W, go to the ring."""
        slot = position % self.frames
        first = min(len(arriving), self.frames - slot)
        state.ring[slot : slot + first] = arriving[:first]
        state.ring[: len(arriving) - first] = arriving[first:]
        torch.maximum(state.peak, arriving.amax(dim=(0, 2, 3)), out=state.peak)

    def _compute_block(self, position: int, state: WindowedState) -> None:
        slot = position % self.frames
        window = torch.cat([state.ring[slot:], state.ring[:slot]]).permute(1, 2, 3, 0)
        masks = self._masks(window, state.peak).permute(4, 0, 1, 2, 3)[self._before :]
        state.block.copy_(masks[: self.stride])
        if state.follows:
            rise = self.get_buffer("rise").view(-1, 1, 1, 1, 1)
            state.block[: self.fade] = torch.lerp(state.after, masks[: self.fade], rise)
        state.after.copy_(masks[self.stride : self.stride + self.fade])
        state.follows.fill_(True)

    def _masks(self, window: Tensor, peak: Tensor) -> Tensor:
        """(B, C, F, W) and (B,) -> (B, S, C, F + 1, W)."""
        if self.input_scale == "running_max":
            window = window / torch.where(peak > 0, peak, 1.0)[:, None, None, None]
        return self.network(window)
