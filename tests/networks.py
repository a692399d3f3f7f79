"""Networks that misbehave or count, named in recipes by tests as `tests.networks:Class`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rtsep.errors import DeviceLost
from rtsep.nn.constant import ConstantMask, ConstantState
from rtsep.nn.contract import State
from rtsep.nn.segment_network import SegmentNetwork
from rtsep.nn.windowed import WindowNetwork

LOUD = 50.0
"""Mean magnitude above which `BrokenWhenLoud` gives NaN and `SlowWhenLoud` takes its time."""


class BrokenWhenLoud(ConstantMask):
    """Constant masks, but not numbers for every step that contains a loud frame, and from then on until the
    reset."""

    @dataclass
    class Broken(ConstantState):
        poison: Tensor

    def init_state(self, batch: int = 1, max_chunk: int = 32) -> Broken:
        return self.Broken(max_chunk, torch.zeros(1))

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        assert isinstance(state, self.Broken)
        if magnitudes.mean(dim=(0, 1, 2)).max() > LOUD:
            state.poison.fill_(float("nan"))
        return super().step(magnitudes, state) + state.poison


class SlowWhenLoud(ConstantMask):
    """Constant masks, but 100 ms for every loud frame: four times slower than the song."""

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        loud = int((magnitudes.mean(dim=(0, 1, 2)) > LOUD).sum())
        time.sleep(0.1 * loud)
        return super().step(magnitudes, state)


@dataclass
class DelayedState(ConstantState):
    past: Tensor


class Delayed(ConstantMask):
    """Lookahead 2: the mask of frame t is 1 / (1 + mean magnitude of frame t), given when frame t + 2
    comes."""

    lookahead_frames = 2

    def init_state(self, batch: int = 1, max_chunk: int = 32) -> DelayedState:
        return DelayedState(max_chunk, torch.zeros(batch, self.channels, self.bins, 2))

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        assert isinstance(state, DelayedState)
        frames = torch.cat([state.past, magnitudes], dim=-1)
        state.past.copy_(frames[..., -2:])
        level = frames[..., :-2].mean(dim=(1, 2))[:, None, None, None, :]
        shape = (frames.shape[0], 1, self.channels, self.mask_rows, magnitudes.shape[-1])
        first = (1.0 / (1.0 + level)).expand(shape)
        return torch.cat([first, 1.0 - first], dim=1)


class LevelShares(WindowNetwork):
    """Of two stems the first gets 1 / (1 + mean magnitude) of each frame, the second the rest."""

    def __init__(
        self,
        stems: Sequence[str] = ("vocals", "instrumental"),
        gains: Sequence[float] = (),
        channels: int = 2,
        bins: int = 1024,
    ) -> None:
        super().__init__()
        self.stems, self.channels, self.bins = tuple(stems), channels, bins

    def forward(self, magnitudes: Tensor) -> Tensor:
        level = 1 / (1 + magnitudes.mean(dim=(1, 2), keepdim=True))
        first = level.expand(-1, self.channels, self.bins + 1, -1)
        return torch.stack([first, 1 - first], dim=1)


class Remembering(ConstantMask):
    """The first stem's mask is 1 once 40 frames were seen since the reset, 0 before: shows what a worker
    warmed with."""

    @dataclass
    class Count(ConstantState):
        seen: Tensor

    def __init__(self, stems: list[str], gains: list[float], channels: int = 2, bins: int = 1024) -> None:
        super().__init__(stems, gains, channels, bins)
        self.context_frames = 192

    def init_state(self, batch: int = 1, max_chunk: int = 32) -> Count:
        return self.Count(max_chunk, torch.zeros(1))

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        assert isinstance(state, self.Count)
        frames = magnitudes.shape[-1]
        count = state.seen + torch.arange(frames)
        state.seen += frames
        shape = (1, 1, self.channels, self.mask_rows, frames)
        first = (count >= 40).float().view(1, 1, 1, 1, frames).expand(shape)
        return torch.cat([first, 1.0 - first], dim=1)


class Chatty(ConstantMask):
    """Prints where it can."""

    def __init__(self, stems: list[str], gains: list[float], channels: int = 2, bins: int = 1024) -> None:
        super().__init__(stems, gains, channels, bins)
        print('{"error": "not really"}', flush=True)
        os.system("echo from a child")

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        print("step", flush=True)
        return super().step(magnitudes, state)


class Crashing(ConstantMask):
    """Raises when it is stepped."""

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        raise RuntimeError("the roof fell in")


class CrashingWhenLoud(ConstantMask):
    """Raises at a loud frame."""

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        if magnitudes.mean(dim=(0, 1, 2)).max() > LOUD:
            raise RuntimeError("the walls shook")
        return super().step(magnitudes, state)


class LosingItsDevice(ConstantMask):
    """Fails as a CUDA device does at the first loud frame that this folder's processes ever see."""

    def __init__(self, stems: list[str], gains: list[float], marks: str, channels: int = 2, bins: int = 1024) -> None:
        super().__init__(stems, gains, channels, bins)
        self.mark = Path(marks) / "lost"

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        if magnitudes.mean(dim=(0, 1, 2)).max() > LOUD and not self.mark.exists():
            self.mark.touch()
            raise DeviceLost("cuda:0 failed: an illegal memory access was encountered")
        return super().step(magnitudes, state)


class LosingItsCard(ConstantMask):
    """Asks a CUDA device for what is not there at a loud frame: the process can never use the device again."""

    capturable = False

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        if magnitudes.is_cuda and magnitudes.mean(dim=(0, 1, 2)).max() > LOUD:
            magnitudes = magnitudes.flatten()[torch.full((1,), 1 << 40, device=magnitudes.device)]
            torch.cuda.synchronize(magnitudes.device)
        return super().step(magnitudes, state)


class LongMemory(ConstantMask):
    """Says that it looks further back than any player keeps."""

    def __init__(self, stems: list[str], gains: list[float], channels: int = 2, bins: int = 1024) -> None:
        super().__init__(stems, gains, channels, bins)
        self.context_frames = 193


class Dying(ConstantMask):
    """Takes the whole process along."""

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        os._exit(9)


class Faulty(ConstantMask):
    """Constant masks, and whatever the file `control` asks for, as long as it does.

    "step 0.2" and "frame 0.2": seconds that each takes; "nan": no numbers; "memory": 256 MB more for a moment.
    """

    def __init__(self, stems: list[str], gains: list[float], control: str, channels: int = 2, bins: int = 1024) -> None:
        super().__init__(stems, gains, channels, bins)
        self.control = Path(control)

    def step(self, magnitudes: Tensor, state: State) -> Tensor:
        fault, _, number = self.control.read_text().partition(" ")
        if fault in ("step", "frame"):
            time.sleep(float(number) * (magnitudes.shape[-1] if fault == "frame" else 1))
        if fault == "memory":
            torch.empty(2**26)
        return super().step(magnitudes, state) * (float("nan") if fault == "nan" else 1.0)


class Ramps(SegmentNetwork):
    """Two stems that tell where in its segment a sample lay, and how loud that was. NaN above a level of 100."""

    def __init__(
        self,
        stems: Sequence[str] = ("vocals", "instrumental"),
        segment: int = 1000,
        channels: int = 2,
        bins: int = 1024,
    ) -> None:
        super().__init__()
        self.stems, self.channels, self.segment_samples = tuple(stems), channels, segment

    def forward(self, mixture: Tensor) -> Tensor:
        assert mixture.shape[1:] == (self.channels, self.segment_samples)
        ramp = torch.arange(self.segment_samples) / self.segment_samples
        level = mixture.abs().mean(dim=(1, 2), keepdim=True)
        first = mixture * ramp + level
        second = mixture.flip(1) * (1 - ramp) * level
        return torch.where(level > 100, torch.nan, torch.stack([first, second], dim=1))


class HalfSegments(SegmentNetwork):
    """Half of the mixture to each of two stems, in segments of half a second; each takes `pause_s` to compute."""

    def __init__(self, stems: Sequence[str], pause_s: float = 0.0, channels: int = 2, bins: int = 1024) -> None:
        super().__init__()
        self.stems, self.channels, self.segment_samples, self.pause_s = tuple(stems), channels, 22050, pause_s

    def forward(self, mixture: Tensor) -> Tensor:
        time.sleep(self.pause_s)
        return torch.stack([mixture / 2, mixture / 2], dim=1)
