"""The processes of one run: one alone, or those that torchrun started, over gloo on CPUs and NCCL on CUDA devices.

All of them hold the same weights and walk the same steps; each takes its share of every batch. Process 0 alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from rtsep.errors import RtsepError

T = TypeVar("T")


LONGEST_WAIT = timedelta(days=2)
"""For the others: while one decodes a library they do nothing. When one dies torchrun ends all at once."""


class Processes:
    """This process among the others, as torchrun's environment tells it.

    Args:
        device: where it computes.

    Attributes:
        rank, count: its number, and how many there are; on_machine: how many of them here.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank, self.count = _told_by_torchrun("RANK", 0), _told_by_torchrun("WORLD_SIZE", 1)
        self.on_machine = _told_by_torchrun("LOCAL_WORLD_SIZE", 1)
        if self.count > 1:
            if device.type == "cuda":
                torch.cuda.set_device(device)
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)

    @property
    def first(self) -> bool:
        """Whether this is process 0, which writes."""
        return self.rank == 0

    def share(self, items: int) -> range:
        """Which of so many items are this process's."""
        return range(self.rank, items, self.count)

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network, whose gradients become the mean over all processes."""
        return network if self.count == 1 else DistributedDataParallel(network)

    def gradients_kept(self, network: nn.Module) -> AbstractContextManager[Any]:
        """Forward and backward pass of a `parallel` network that leave its gradients with this process, added up."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def any(self, condition: bool) -> bool:
        """Whether it holds in any process."""
        return condition if self.count == 1 else bool(self.total(torch.tensor(float(condition), device=self.device)))

    def gather(self, items: list[T]) -> list[T]:
        """The items of all processes, in every one."""
        if self.count == 1:
            return items
        lists: list[Any] = [None] * self.count
        distributed.all_gather_object(lists, items)
        return [item for some in lists for item in some]

    def from_first(self, find: Callable[[], T]) -> T:
        """What process 0 finds, in every one; an RtsepError that it meets is raised in all."""
        if self.count == 1:
            return find()
        found: list[Any] = [None]
        if self.first:
            try:
                found[0] = find()
            except RtsepError as error:
                found[0] = error
        distributed.broadcast_object_list(found)
        (result,) = found
        if isinstance(result, RtsepError):
            raise result
        return result

    @contextmanager
    def one_ahead(self) -> Iterator[None]:
        """The first process of each machine goes ahead; the others follow when it is done, and find what it made."""
        ahead = _told_by_torchrun("LOCAL_RANK", 0) == 0
        if self.count > 1 and not ahead:
            distributed.barrier()
        try:
            yield
        finally:
            if self.count > 1 and ahead:
                distributed.barrier()

    def close(self) -> None:
        """Leave the others."""
        if self.count > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def _told_by_torchrun(name: str, alone: int) -> int:
    return int(os.environ.get(name, alone))
