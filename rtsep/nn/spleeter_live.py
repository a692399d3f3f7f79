"""Spleeter's U-nets computed as the sound comes: of each window only the columns that are new.

A window of W frames ends with the newest one, E frames since the reset. Level l has a column for every 2^l frames;
column i of a window, counted from its end, begins at frame E - i 2^l. A convolution reads columns 2 i + 1 to 2 i - 3 of
the level above, so that beyond a few of them, the edge, a column does not depend on where its window ends:

    level l:      ... 7   6   5   4   3 | 2   1    (the edge)
                  kept from earlier     |  computed for this window
                  windows               |

A window computes the edge and the columns that have just left it, which are kept in a ring for later windows: those
whose end is a multiple of 2^l frames away. The decoder computes the columns that lead to the frames of the block alone.

What the masks are: the upper levels hear all of the past instead of zeros before the window. The deep levels, whose few
columns are cheaper computed anew than kept, see the window alone, as in a whole window; and they may be computed for
every nth window only, each stem in turn, and stay as they are in between: their columns cover 32 frames and more.

Letters: B batch, S stems, C channels, F bins, K frames of a step, N windows of a step, n columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rtsep.nn.contract import State
from rtsep.nn.spleeter import Spleeter
from rtsep.nn.spleeter_columns import ColumnUNet
from rtsep.nn.spleeter_unet import UNet
from rtsep.nn.windowed import Windowed

DEEP_LEVELS = 2
FORWARD_FRAMES = 64


@dataclass(frozen=True)
class Level:
    """Which columns of a level a window computes, keeps and reads, counted from its end.

    Attributes:
        edge: columns that depend on where the window ends.
        fresh: columns behind the edge that no earlier window has computed.
        read: columns that the next level and the decoder read.
        spread: columns in the ring from one column of a window to the next: other windows' lie between.
        decoded: columns that the decoder computes, or joins as a skip.
    """

    edge: int
    fresh: int
    read: int
    spread: int
    decoded: int

    @property
    def computed(self) -> int:
        return self.edge + self.fresh

    def ring_size(self, windows: int) -> int:
        """Columns to keep for a step that computes so many windows."""
        return (self.read - self.edge - 1) * self.spread + windows * self.fresh

    def slots(self, newest: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Where each window writes its fresh columns (N * fresh,) and reads those behind its edge (N * (read - edge),).

        `newest` (N, 1): number of the newest column behind the edge.
        """
        written = newest + torch.arange(1 - self.fresh, 1, device=newest.device)
        read = newest + torch.arange(self.edge + 1 - self.read, 1, device=newest.device) * self.spread
        return (written % size).flatten(), (read % size).flatten()


def plan_levels(frames: int, stride: int, lookahead: int, shallow: int) -> list[Level]:
    """Level 0 (the frames) to the last shallow one. Raises ValueError where a window is too short."""
    decoded = [stride + lookahead + 3]
    for _ in range(shallow):
        decoded.append(-(-decoded[-1] // 2) + 1)
    edges, fresh = [0], [stride]
    for level in range(1, shallow + 1):
        edges.append((edges[-1] + 3) // 2)
        fresh.append(max(1, stride >> level))
    whole = frames >> shallow
    if whole < max(edges[-1] + fresh[-1], decoded[-1]):
        raise ValueError(
            f"a window of {frames} frames is too short for a stride of {stride} and a lookahead of {lookahead}"
        )
    read = [max(2 * (edges[i + 1] + fresh[i + 1]) + 1, decoded[i]) for i in range(shallow)] + [whole]
    return [
        Level(edges[i], fresh[i], read[i], max(1, (1 << i) // stride) if i else 1, decoded[i])
        for i in range(shallow + 1)
    ]


@dataclass
class UNetState(State):
    """Of one stem: a ring for each shallow level, (slots, B, F, C), and what the deep levels gave last.

    `silence` and `layers` never change, and are no part of a snapshot.
    """

    rings: list[Tensor]
    deep: Tensor
    silence: tuple[Tensor, ...]
    """The columns (F, C) that each ring is full of before the first frame."""
    layers: ColumnUNet


@dataclass
class LiveState(State):
    """The last frames (slots, B, F, C), the masks of the block that is being given out, and a state for each stem."""

    max_chunk: int
    position: Tensor
    """Frames since the reset. It stays on the CPU, which decides by it what is due."""
    frames: Tensor
    block: Tensor
    unets: list[UNetState]

    def reset(self) -> None:
        super().reset()
        for unet in self.unets:
            for ring, column in zip(unet.rings, unet.silence, strict=True):
                ring.copy_(column.expand_as(ring))


class LiveSpleeter(Windowed):
    """Streams a Spleeter like `Windowed`, without its cross-fades, and computes only what is new.

    Args:
        network: of U-nets.
        frames, stride, lookahead: as of `Windowed`; stride a power of two.
        deep_stride: frames after which the deep levels are computed again, a multiple of the stride. 0: the stride.
    Raises ValueError for sizes that do not fit together.
    """

    def __init__(
        self,
        network: Spleeter,
        frames: int,
        stride: int,
        lookahead: int = 0,
        deep_stride: int = 0,
    ) -> None:
        super().__init__(network, frames, stride, lookahead)
        deep_stride = deep_stride or stride
        if network.model == "blstm":
            raise ValueError("only U-nets are computed incrementally, not the BLSTM")
        if stride & (stride - 1):
            raise ValueError(f"stride must be a power of two, got {stride}")
        if deep_stride % stride:
            raise ValueError(f"deep_stride must be a multiple of the stride {stride}, got {deep_stride}")
        self._frozen: list[ColumnUNet] | None = None
        self.unets: list[UNet] = list(network.networks.values())  # type: ignore[arg-type]
        depth = len(self.unets[0].down)
        if depth < 2:
            raise ValueError(f"the U-net must have at least two levels, got {depth}")
        self.shallow = max(depth - DEEP_LEVELS, 1)
        self.deep_windows = deep_stride // stride
        self._first_end = lookahead % stride or stride  # frames after which the first window is computed
        self.levels = plan_levels(frames, stride, lookahead, self.shallow)
        self.context_frames = frames + (1 << self.shallow) - 1 - lookahead + deep_stride - stride

    def freeze(self) -> None:
        self._frozen = self._arranged()

    def init_state(self, batch: int = 1, max_chunk: int = 32) -> LiveState:
        device = self.get_buffer("rise").device

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, device=device)

        windows = (max_chunk - 1) // self.stride + 1
        unets = []
        for layers in self._frozen or self._arranged():
            silence = self._silence(layers)
            rings = [
                zeros(level.ring_size(windows), batch, *column.shape)
                for level, column in zip(self.levels[1:], silence, strict=True)
            ]
            deep = zeros(batch, self.levels[-1].decoded, *silence[-1].shape)
            unets.append(UNetState(rings, deep, silence, layers))
        state = LiveState(
            max_chunk,
            torch.zeros((), dtype=torch.int64),
            zeros(self.levels[0].ring_size(windows), batch, self.bins, self.channels),
            zeros(batch, len(self.stems), self.channels, self.mask_rows, self.stride),
            unets,
        )
        state.reset()
        return state

    @torch.no_grad()
    def _arranged(self) -> list[ColumnUNet]:
        """The layers of each stem, for as long as its weights stay as they are."""
        decoded = [level.decoded for level in self.levels]
        return [ColumnUNet(unet, self.shallow, self.levels[-1].read, decoded) for unet in self.unets]

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        assert isinstance(state, LiveState)
        waiting = (int(state.position) - self._first_end) % self.stride + 1
        masks = state.block[..., waiting:]  # those that were not given out
        windows = self._take(magnitudes, state)
        if windows:
            masks = torch.cat([masks, self._block_masks(windows, state)], dim=-1)
            state.block.copy_(masks[..., -self.stride :])
        return masks[..., : magnitudes.shape[3]]

    @torch.no_grad()
    def hear(self, magnitudes: Tensor, state: State) -> None:
        """As of a `StreamingNetwork`: of these windows the next ones need what the encoder gives, and no more."""
        assert isinstance(state, LiveState)
        windows = self._take(magnitudes, state)
        if windows:
            frames, slots = self._read_windows(windows, state)
            for stem, unet in enumerate(state.unets):
                columns, _ = self._encode(frames, slots, len(windows), unet)
                due = [window for window in windows if self._is_due(stem, window)]
                if due:
                    unet.deep.copy_(unet.layers.deep(columns.unflatten(0, (len(windows), -1))[due[-1] - windows.start]))

    def forward(self, magnitudes: Tensor, chunk: int | None = None) -> Tensor:
        """As the contract says; the masks are the same for every `chunk`. Beyond the end is silence.

        Many windows at once, but without gradients: `teach` trains the network by whole windows.
        """
        self.validate(magnitudes)
        state = self.init_state(len(magnitudes), FORWARD_FRAMES)
        padded = F.pad(magnitudes, (0, self.lookahead_frames))
        masks = [self.step(part, state) for part in padded.split(FORWARD_FRAMES, dim=3)]
        return torch.cat(masks, dim=-1)[..., self.lookahead_frames :]

    def _take(self, magnitudes: Tensor, state: LiveState) -> range:
        """Put frames into their ring; returns the numbers since the reset of the windows that end with one of them."""
        self.validate(magnitudes, state.max_chunk)
        steps, position = magnitudes.shape[3], int(state.position)
        slots = torch.arange(position, position + steps, device=magnitudes.device) % len(state.frames)
        state.frames.index_copy_(0, slots, magnitudes.permute(3, 0, 2, 1))
        state.position.fill_(position + steps)
        first = (position - self._first_end) // self.stride + 1
        return range(first, (position + steps - self._first_end) // self.stride + 1)

    def _read_windows(self, windows: range, state: LiveState) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The last frames (N * B, n, F, C) of windows, and for each shallow level where they write and read columns."""
        numbers = torch.arange(windows.start, windows.stop, device=state.frames.device)[:, None]
        newest = self._first_end - 1 + self.stride * numbers
        frames = _read(state.frames, self.levels[0].slots(newest, len(state.frames))[1], len(windows))
        slots = [
            level.slots(numbers * level.fresh, len(ring))
            for level, ring in zip(self.levels[1:], state.unets[0].rings, strict=True)
        ]
        return frames, slots

    def _block_masks(self, windows: range, state: LiveState) -> Tensor:
        """Masks (B, S, C, F + 1, N * stride) of the blocks of windows."""
        frames, slots = self._read_windows(windows, state)
        outputs = torch.stack(
            [self._unet(stem, frames, slots, windows, unet) for stem, unet in enumerate(state.unets)], dim=1
        )

        def blocks(x: Tensor) -> Tensor:
            """Last frames (N * B, ..., n, F, C) to the windows' blocks: (B, ..., C, F, N * stride)."""
            end = x.shape[-3] - self.lookahead
            block = x[..., end - self.stride : end, :, :].unflatten(0, (len(windows), -1))
            return block.movedim(0, -4).flatten(-4, -3).transpose(-3, -1)

        network = self.network
        assert isinstance(network, Spleeter)
        return network.masks(network.shares(blocks(outputs)) * blocks(frames)[:, None])

    def _is_due(self, stem: int, window: int) -> bool:
        """Whether the deep levels of a stem are computed for a window: stems take turns; the first one needs all."""
        turn = stem * self.deep_windows // len(self.stems)
        return window % self.deep_windows == turn or window == 0

    def _unet(
        self, stem: int, x: Tensor, slots: list[tuple[Tensor, Tensor]], windows: range, state: UNetState
    ) -> Tensor:
        """The U-net's output (N * B, stride + lookahead, F, C) at the end of windows, from their last frames."""
        x, skips = self._encode(x, slots, len(windows), state)
        found, turns = [state.deep], []
        for window, columns in zip(windows, x.unflatten(0, (len(windows), -1)), strict=True):
            if self._is_due(stem, window):
                found.append(state.layers.deep(columns))
            turns.append(len(found) - 1)
        deep = torch.cat([found[turn] for turn in turns])
        state.deep.copy_(found[-1])
        return state.layers.decode(deep, skips)

    def _encode(
        self, x: Tensor, slots: list[tuple[Tensor, Tensor]], windows: int, state: UNetState
    ) -> tuple[Tensor, list[Tensor]]:
        """The columns of the last shallow level that the deep ones hear, and for each level the decoder's skip."""
        layers, skips = state.layers, []
        for number, (level, ring) in enumerate(zip(self.levels[1:], state.rings, strict=True), start=1):
            columns = layers.encode(number, x[:, -2 * level.computed - 1 :])
            written, read = slots[number - 1]
            fresh = columns[:, : level.fresh].unflatten(0, (windows, -1))
            ring.index_copy_(0, written, fresh.transpose(1, 2).flatten(0, 1))
            x = torch.cat([_read(ring, read, windows), columns[:, level.fresh :]], dim=1)
            skips.append(x[:, -level.decoded :])
        return x, skips

    def _silence(self, layers: ColumnUNet) -> tuple[Tensor, ...]:
        """The columns (F, C) of each shallow level when nothing has ever sounded."""
        x = torch.zeros(1, 5, self.bins, self.channels, device=self.get_buffer("rise").device)
        found = []
        for level in range(1, self.shallow + 1):
            column = layers.encode(level, x)[:, :1]
            found.append(column[0, 0].contiguous())
            x = column.expand(-1, 5, -1, -1)
        return tuple(found)


def _read(ring: Tensor, slots: Tensor, windows: int) -> Tensor:
    """Columns (N * B, n, F, C) of windows from a ring (slots, B, F, C)."""
    columns = ring.index_select(0, slots).unflatten(0, (windows, -1))
    return columns.transpose(1, 2).flatten(0, 1)
