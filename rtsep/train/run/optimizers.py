"""Optimisers: AdamW, or Muon for the matrices of linear layers with AdamW for everything else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rtsep.errors import RtsepError
from rtsep.train.run.parameters import parameter_groups
from rtsep.train_settings import Train

MUON_RATE = 2.0
"""Muon's learning rate (and so its decay), relative to the recipe's. At 1 its updates are as large as AdamW's; it
tolerates larger ones."""


class Optimizers:
    """The optimisers of a network's trained parameters, with the interface of one.

    AdamW is that of Loshchilov and Hutter 2019 (arXiv:1711.05101). Muon (Jordan et al. 2024, "Muon: an optimizer for
    hidden layers") orthogonalises each matrix's update, so that all directions are learnt at one rate; updates are
    scaled to the size of AdamW's as by Liu et al. 2025 (arXiv:2502.16982).

    Raises RtsepError for Muon if no linear layer is trained or PyTorch is too old for it.
    """

    def __init__(self, network: nn.Module, train: Train) -> None:
        matrices = _matrices(network) if train.optimizer == "muon" else []
        rest = parameter_groups(network, train.weight_decay, {id(p) for p in matrices})
        self._all: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=0.0, betas=(0.9, 0.98), fused=True)]
        if matrices:
            decay = train.weight_decay
            self._all.append(torch.optim.Muon(matrices, lr=0.0, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))

    def set_rate(self, rate: float) -> None:
        for optimizer, share in zip(self._all, (1.0, MUON_RATE), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = rate * share

    def zero_grad(self) -> None:
        for optimizer in self._all:
            optimizer.zero_grad(set_to_none=True)

    def unscale(self, scaler: torch.amp.GradScaler) -> None:
        for optimizer in self._all:
            scaler.unscale_(optimizer)

    def step(self, scaler: torch.amp.GradScaler, skip: bool = False) -> None:
        """Do a step. `skip`: skip it in all optimisers because a gradient overflowed; the scaler alone would skip it
        only in the optimiser whose gradient that was."""
        for optimizer in () if skip else self._all:
            scaler.step(optimizer)
        scaler.update()

    def state_dict(self) -> list[dict[str, Any]]:
        return [optimizer.state_dict() for optimizer in self._all]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Restore the state. Raises ValueError for states of other optimisers."""
        for optimizer, state in zip(self._all, states, strict=True):
            optimizer.load_state_dict(state)


def _matrices(network: nn.Module) -> list[Tensor]:
    """The matrices of the trained linear layers."""
    if not hasattr(torch.optim, "Muon"):
        raise RtsepError(f'train.optimizer: "muon" needs PyTorch 2.9 or newer, found {torch.__version__}')
    matrices = [m.weight for m in network.modules() if isinstance(m, nn.Linear) and m.weight.requires_grad]
    if not matrices:
        raise RtsepError('train.optimizer: "muon" trains linear layers, but none is trained here')
    return matrices
