"""Spleeter's networks: one U-net per stem on raw magnitudes, or a BLSTM in its place.

After Hennequin et al. 2020, "Spleeter: a fast and efficient music source separation tool with pre-trained models"
(doi:10.21105/joss.02154), and the authors' program. What its weights expect, and ports easily miss:

* TensorFlow's SAME padding of a 5×5 kernel at stride 2 is 1 before and 2 behind; its transpose drops 1 and 2.
* A skip is the bare convolution, before norm and activation; the decoder has its norm behind the activation.
* The released batch norms were trained with statistics that never moved: they are gains and biases.
* The input is not normalised: the result depends on the level.
* The loss is on each stem's own estimate, not on the ratio masks made of all of them.
* Two stems have leaky ReLU and ReLU, four and five have ELU, five a softmax over the stems: the wrong ones load
  without an error.

Letters: B batch, S stems, C channels, T frames, F bins. Inside, frames come before bins, as in the kernels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtsep.nn.masks import SILENCE
from rtsep.nn.spleeter_unet import ACTIVATIONS, UNet
from rtsep.nn.windowed import WindowNetwork

EPSILON = 1e-10

MODELS = ("unet", "softmax_unet", "blstm")
MASK_EXTENSIONS = ("octave", "average", "zeros")


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
        mask_extension: the gain above the bins that the network sees, in each frame: octave, the mean of the masks' top
            octave, with which the stems sum to the mixture there too; average, the mean of all of the mask; zeros, as
            the authors' configurations have it, with which no stem has anything there.
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
        mask_extension: str = "octave",
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

    def freeze(self) -> None:
        for network in self.networks.values():
            if isinstance(network, UNet):
                network.freeze()

    def forward(self, magnitudes: Tensor) -> Tensor:
        return self.masks(self.estimates(magnitudes))

    def teach(self, magnitudes: Tensor, stems: Tensor) -> Tensor:
        """Each estimate over the mixture: times the mixture it is the estimate again. Nothing above is learnt."""
        return F.pad(self.estimates(magnitudes) / magnitudes[:, None].clamp(min=SILENCE), (0, 0, 0, 1))

    def estimates(self, magnitudes: Tensor) -> Tensor:
        """Magnitudes (B, S, C, F, T) of the stems, from those of the mixture (B, C, F, T): what the loss is about."""
        x = magnitudes.transpose(2, 3).contiguous()
        # Channels lie innermost, as in TensorFlow: the convolutions are faster so.
        seen = x.contiguous(memory_format=torch.channels_last)
        outputs = torch.stack([network(seen) for network in self.networks.values()], dim=1)
        if self.model != "blstm":
            outputs = self.shares(outputs) * x[:, None]
        return outputs.transpose(3, 4)

    def shares(self, outputs: Tensor) -> Tensor:
        """The outputs (B, S, ...) of U-nets as shares in the mixture's magnitudes."""
        return outputs.softmax(dim=1) if self.model == "softmax_unet" else outputs.sigmoid()

    def masks(self, estimates: Tensor) -> Tensor:
        """Ratio masks (B, S, C, F + 1, T); where all is silent every stem gets the same share."""
        powers = estimates.pow(self.mask_exponent)
        total = sum(powers.split(1, dim=1)) + EPSILON
        return self._extend((powers + EPSILON / len(self.stems)) / total)

    def _extend(self, masks: Tensor) -> Tensor:
        """(B, S, C, F, T) -> (B, S, C, F + 1, T), with bins innermost, as they come."""
        frames = masks.transpose(3, 4)
        if self.mask_extension == "zeros":
            return F.pad(frames, (0, 1)).transpose(3, 4)
        lowest = self.bins // 2 if self.mask_extension == "octave" else 0
        return torch.cat([frames, frames[..., lowest:].mean(dim=4, keepdim=True)], dim=4).transpose(3, 4)
