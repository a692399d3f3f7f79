"""Choose the parameters that are trained, and those with weight decay."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn

from rtsep.errors import RtsepError


def freeze_all_but(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Freeze the network except the named modules; without names, train all of it.

    Raises RtsepError for a name that the network does not have.
    """
    if not parts:
        return
    modules = {name.removeprefix("network."): module for name, module in network.named_modules()}
    unknown = [part for part in parts if part not in modules]
    if unknown:
        raise RtsepError(f"train.parts: the network has no module {unknown[0]!r}")
    network.eval().requires_grad_(False)
    for part in parts:
        modules[part].train().requires_grad_()


def parameter_groups(network: nn.Module, weight_decay: float, but: Collection[int] = ()) -> list[dict[str, Any]]:
    """Parameter groups with and without weight decay: matrices decay; gains, biases and position tables do not.

    Parameters that are frozen, or whose id is in `but`, are in neither group.
    """
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad and id(p) not in but}
    matrices = [p for name, p in trained.items() if p.ndim >= 2 and not name.endswith("attention.bias")]
    chosen = {id(p) for p in matrices}
    rest = [p for p in trained.values() if id(p) not in chosen]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
