"""Distributed training: one process, or those that torchrun started, with gloo on CPUs and NCCL on CUDA devices.

All processes hold the same weights and do the same steps, each with its share of every batch. Process 0 alone writes.
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
"""Limit for the others while one process decodes the songs. When a process dies, torchrun ends all of them."""


class DistributedGroup:
    """This process and the others of its run, from torchrun's environment variables.

    Args:
        device: the device of this process.

    Attributes:
        rank, world_size: number of this process, and of all processes; local_world_size: of those on this machine.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank, self.world_size = _from_torchrun("RANK", 0), _from_torchrun("WORLD_SIZE", 1)
        self.local_world_size = _from_torchrun("LOCAL_WORLD_SIZE", 1)
        if self.world_size > 1:
            if device.type == "cuda":
                torch.cuda.set_device(device)
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)

    @property
    def is_first(self) -> bool:
        """Whether this is process 0, which writes."""
        return self.rank == 0

    def share(self, items: int) -> range:
        """The indices of this process's share of `items`."""
        return range(self.rank, items, self.world_size)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over all processes."""
        return network if self.world_size == 1 else DistributedDataParallel(network)

    def no_sync(self, network: nn.Module) -> AbstractContextManager[Any]:
        """Context in which a wrapped network accumulates gradients without averaging them over the processes."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Sum over all processes, in place."""
        if self.world_size > 1:
            distributed.all_reduce(values)
        return values

    def any(self, condition: bool) -> bool:
        """Whether the condition is true in any process."""
        return (
            condition
            if self.world_size == 1
            else bool(self.all_reduce_sum(torch.tensor(float(condition), device=self.device)))
        )

    def all_gather(self, items: list[T]) -> list[T]:
        """The items of all processes."""
        if self.world_size == 1:
            return items
        lists: list[Any] = [None] * self.world_size
        distributed.all_gather_object(lists, items)
        return [item for some in lists for item in some]

    def broadcast(self, find: Callable[[], T]) -> T:
        """What `find` returns in process 0, in all processes; an RtsepError there is raised in all."""
        if self.world_size == 1:
            return find()
        found: list[Any] = [None]
        if self.is_first:
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
    def first_goes_ahead(self) -> Iterator[None]:
        """The first process on each machine runs the block before the others, which then find what it made."""
        ahead = _from_torchrun("LOCAL_RANK", 0) == 0
        if self.world_size > 1 and not ahead:
            distributed.barrier()
        try:
            yield
        finally:
            if self.world_size > 1 and ahead:
                distributed.barrier()

    def close(self) -> None:
        """Leave the process group."""
        if self.world_size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def _from_torchrun(name: str, alone: int) -> int:
    return int(os.environ.get(name, alone))
