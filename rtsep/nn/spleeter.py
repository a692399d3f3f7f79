"""Spleeter's networks: one U-net a stem on raw magnitudes, and the BLSTM that can stand in its place.

After Hennequin et al. 2020, "Spleeter: a fast and efficient music source separation tool with pre-trained models"
(doi:10.21105/joss.02154), and the program that goes with it. What its weights expect, and a port easily misses:

* TensorFlow's SAME padding of a 5×5 kernel at stride 2 is 1 before and 2 behind; its transpose drops 1 and 2.
* A skip is the bare convolution, before norm and activation; the decoder has its norm behind the activation.
* The released batch norms were trained with statistics that never moved: they are gains and biases.
* Nothing is normalised on the way in: a louder song is another song.
* The loss is about each stem's estimate by itself, not about the ratio masks that are made of all of them.
* Two stems have leaky ReLU and ReLU, four and five have ELU, five a softmax over the stems: the wrong ones load
  without an error.

Letters: B batch, S stems, C channels, T frames, F bins. Inside, frames come before bins, as in the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.masks import SILENCE
from rtsep.nn.windowed import WindowNetwork

EPSILON = 1e-10

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "relu": F.relu,
    "elu": F.elu,
}
MODELS = ("unet", "softmax_unet", "blstm")
MASK_EXTENSIONS = ("zeros", "average")


class FrozenNorm(nn.Module):
    """Batch norm of (B, C, ...) whose statistics are part of the weights, in training too."""

    EPSILON = 1e-3

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return F.batch_norm(x, mean, variance, self.weight, self.bias, training=False, eps=self.EPSILON)


class Raise(nn.ConvTranspose2d):
    """Transposed 5×5 convolution of stride 2 with TensorFlow's SAME: (B, C, T, F) -> (B, C', 2 T, 2 F).

    Computed as a plain 3×3 convolution to four maps for each one, which lie between each other: twice as fast. An even
    sample hears the kernel's taps 1 and 3, an odd one 0, 2 and 4; the taps stand backwards.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 5, stride=2)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        taps = F.pad(self.weight, (1, 0, 1, 0)).unflatten(3, (3, 2)).unflatten(2, (3, 2)).flip(2, 4)
        kernel = taps.permute(1, 3, 5, 0, 2, 4).flatten(0, 2)
        assert self.bias is not None
        return F.pixel_shuffle(F.conv2d(input, kernel, self.bias.repeat_interleave(4), padding=1), 2)


class UNet(nn.Module):
    """(B, C, T, F) -> (B, C, T, F) without a last activation; T and F multiples of 2 to the number of levels."""

    def __init__(self, channels: int, filters: Sequence[int], conv_activation: str, deconv_activation: str) -> None:
        super().__init__()
        self.activate_down, self.activate_up = ACTIVATIONS[conv_activation], ACTIVATIONS[deconv_activation]
        levels = range(len(filters))
        into = [channels, *filters]
        self.down = nn.ModuleList(nn.Conv2d(into[i], filters[i], 5, stride=2) for i in levels)
        self.down_norms = nn.ModuleList(FrozenNorm(size) for size in filters)  # the last is never used, yet saved
        out = [*reversed(filters[:-1]), 1]
        joined = [filters[-1], *(2 * size for size in out[:-1])]
        self.up = nn.ModuleList(Raise(joined[i], out[i]) for i in levels)
        self.up_norms = nn.ModuleList(FrozenNorm(size) for size in out)
        self.out = nn.Conv2d(1, channels, 4, dilation=2, padding=3)
        for layer in (*self.down, *self.up, self.out):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = self.down[0](F.pad(x, (1, 2, 1, 2)))
        skips = []
        for conv, norm in zip(self.down[1:], self.down_norms[:-1], strict=True):
            skips.append(x)
            x = conv(F.pad(self.activate_down(norm(x)), (1, 2, 1, 2)))
        for conv, norm in zip(self.up, self.up_norms, strict=True):
            x = norm(self.activate_up(conv(x)))
            if skips:
                x = torch.cat([skips.pop(), x], dim=1)
        return self.out(x)


class BLSTM(nn.Module):
    """(B, C, T, F) -> magnitudes (B, C, T, F): three bidirectional layers over the frames of the window."""

    def __init__(self, channels: int, bins: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels * bins, units, num_layers=3, bidirectional=True, batch_first=True)
        self.dense = nn.Linear(2 * units, channels * bins)
        for name, parameter in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_uniform_(parameter, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        channels_last = x.permute(0, 2, 3, 1)
        frames = F.relu(self.dense(self.lstm(channels_last.flatten(2))[0]))
        return frames.view(channels_last.shape).permute(0, 3, 1, 2)


class Spleeter(WindowNetwork):
    """Ratio masks of magnitudes that are estimated for each stem by itself.

    Args:
        stems: in the order of the instruments.
        model: unet, softmax_unet (the stems share each bin out) or blstm.
        filters: channels of the U-net's levels.
        conv_activation, deconv_activation: leaky_relu (slope 0.2), relu or elu; of encoder and decoder.
        lstm_units: of the BLSTM, in each direction.
        separation_exponent: p in mask = estimate^p / sum of all estimates^p.
        mask_extension: the gain above the bins that the network sees: zeros, or average, the mean of the frame's mask.
    Raises ValueError for a word that is none of these, or bins that the levels do not divide.
    """

    def __init__(
        self,
        stems: Sequence[str],
        channels: int = 2,
        bins: int = 1024,
        model: str = "unet",
        filters: Sequence[int] = (16, 32, 64, 128, 256, 512),
        conv_activation: str = "leaky_relu",
        deconv_activation: str = "relu",
        lstm_units: int = 250,
        separation_exponent: float = 2,
        mask_extension: str = "zeros",
    ) -> None:
        super().__init__()
        for word, known in (
            (model, MODELS),
            (conv_activation, ACTIVATIONS),
            (deconv_activation, ACTIVATIONS),
            (mask_extension, MASK_EXTENSIONS),
        ):
            if word not in known:
                raise ValueError(f"expected one of {', '.join(known)}, got {word!r}")
        if model != "blstm":
            self.frames_multiple = 2 ** len(filters)
            if bins % self.frames_multiple:
                raise ValueError(f"bins must be a multiple of {self.frames_multiple}, got {bins}")
        self.stems, self.channels, self.bins = tuple(stems), channels, bins
        self.model, self.mask_exponent, self.mask_extension = model, separation_exponent, mask_extension
        self.networks = nn.ModuleDict(
            {
                stem: BLSTM(channels, bins, lstm_units)
                if model == "blstm"
                else UNet(channels, filters, conv_activation, deconv_activation)
                for stem in stems
            }
        )

    def forward(self, magnitudes: Tensor) -> Tensor:
        return self.masks(self.estimates(magnitudes))

    def teach(self, magnitudes: Tensor, stems: Tensor) -> Tensor:
        """Each estimate over the mixture: times the mixture it is the estimate again."""
        return self._extend(self.estimates(magnitudes) / magnitudes[:, None].clamp(min=SILENCE))

    def estimates(self, magnitudes: Tensor) -> Tensor:
        """Magnitudes (B, S, C, F, T) of the stems, from those of the mixture (B, C, F, T): what the loss is about."""
        # Channels lie innermost, as in TensorFlow: the transposed convolutions are faster so.
        x = magnitudes.transpose(2, 3).contiguous(memory_format=torch.channels_last)
        outputs = torch.stack([network(x) for network in self.networks.values()], dim=1)
        if self.model != "blstm":
            shares = outputs.softmax(dim=1) if self.model == "softmax_unet" else outputs.sigmoid()
            outputs = shares * x[:, None]
        return outputs.transpose(3, 4)

    def masks(self, estimates: Tensor) -> Tensor:
        """Ratio masks (B, S, C, F + 1, T); where all is silent every stem gets the same share."""
        powers = estimates.pow(self.mask_exponent)
        low = (powers + EPSILON / len(self.stems)) / (powers.sum(dim=1, keepdim=True) + EPSILON)
        return self._extend(low)

    def _extend(self, masks: Tensor) -> Tensor:
        """(B, S, C, F, T) -> (B, S, C, F + 1, T)."""
        mean = masks.mean(dim=3, keepdim=True)
        return torch.cat([masks, mean if self.mask_extension == "average" else torch.zeros_like(mean)], dim=3)
