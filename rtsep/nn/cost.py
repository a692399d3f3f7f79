"""Count the multiply-adds of a network without computing it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from rtsep.nn.contract import StreamingNetwork
from rtsep.nn.segment_network import SegmentNetwork
from rtsep.nn.spleeter_live import LiveSpleeter
from rtsep.nn.windowed import Windowed


class _Products(nn.Module):
    """The products of an LSTM (batch first), all frames at once: frame by frame they would take seconds to count."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        width, directions = self.lstm.hidden_size, 1 + self.lstm.bidirectional
        for layer in range(self.lstm.num_layers):
            weights = self.lstm.all_weights[layer * directions : (layer + 1) * directions]
            for from_input, from_hidden, *_ in weights:
                F.linear(x, from_input)
                F.linear(x.new_empty(*x.shape[:2], width), from_hidden)
            x = x.new_empty(*x.shape[:2], directions * width)
        return x, None


def multiply_adds_per_frame(network: StreamingNetwork) -> float:
    """Multiply-adds of products and convolutions for each frame of a stream, at one frame a step.

    Sizes are enough: nothing is computed, and `network` may have no numbers (torch's device "meta").
    """
    network = copy.deepcopy(network).to("meta").eval()
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.LSTM):
                setattr(module, name, _Products(child))
    whole = network if isinstance(network, Windowed) and not isinstance(network, LiveSpleeter) else None
    frames = whole.frames if whole else 2 * network.context_frames
    magnitudes = torch.empty(1, network.channels, network.bins, frames, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if whole:
            whole.network(magnitudes)
            frames = whole.stride
        else:
            network.forward(magnitudes, chunk=1)
    return counter.get_total_flops() / 2 / frames


def multiply_adds_per_segment(network: SegmentNetwork) -> float:
    """The same for one segment of a network of whole segments; Fourier transforms are not counted."""
    network = copy.deepcopy(network).to("meta")
    mixture = torch.empty(1, network.channels, network.segment_samples, device="meta")
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # PyTorch's fused attention goes uncounted
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter, _NoNumbers():
            network(mixture)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() / 2


class _NoNumbers(TorchFunctionMode):
    """Does without what only numbers can tell: assertions hold, and the inverse STFT finds its window fitting."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.__bool__:
            return True
        if func is torch.istft:
            return torch.empty(*args[0].shape[:-2], kwargs["length"], device="meta")
        return func(*args, **kwargs)
