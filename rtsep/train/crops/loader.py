"""Crops drawn ahead of the training step by threads, so that the device does not wait for them.

Threads, not processes: reading, resampling and NumPy's own loops let go of the interpreter lock, and nothing has to be
copied between them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from rtsep.train.crops.sampler import Batch, Crop, CropSampler, collate

AHEAD_STEPS = 3
MOST_WORKERS = 8


def default_workers(processes: int = 1) -> int:
    """One thread for each processor of this process's share but one, at least 1 and at most MOST_WORKERS.

    `processes`: how many share the machine.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, max(1, usable // processes - 1))


class CropLoader:
    """Batches of the steps from any step on, in their order, the same with any number of workers.

    Args:
        places: places in the batch that this process draws; all if left out. Process r of R takes `range(r, batch, R)`.
    """

    def __init__(self, sampler: CropSampler, workers: int | None = None, places: range | None = None) -> None:
        self.sampler = sampler
        self.workers = workers or default_workers()
        self.places = range(sampler.recipe.train.batch) if places is None else places

    def batches(self, first_step: int) -> Generator[Batch]:
        """Without end; the threads stop when the iterator is closed. Raises what `Song.segment` raises."""
        executor = ThreadPoolExecutor(self.workers, thread_name_prefix="crops")
        ahead: deque[list[Future[Crop]]] = deque()
        step = first_step
        try:
            while True:
                while len(ahead) < AHEAD_STEPS:
                    ahead.append([executor.submit(self.sampler.crop, step, place) for place in self.places])
                    step += 1
                yield collate([future.result() for future in ahead.popleft()])
        finally:
            executor.shutdown(cancel_futures=True)
