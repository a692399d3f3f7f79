"""Draw crops in threads ahead of the training step, so that the device does not wait for them.

Threads, not processes: file reads, resampling and NumPy's loops release the interpreter lock, and nothing has to be
copied between processes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from rtsep.train.crops.batch import CropBatch
from rtsep.train.crops.sampler import Crop, CropSampler, collate

AHEAD_STEPS = 3
MOST_WORKERS = 8


def default_workers(processes: int = 1) -> int:
    """One thread fewer than this process's share of the processors, from 1 to MOST_WORKERS.

    `processes`: number of training processes on the machine.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, max(1, usable // processes - 1))


class CropLoader:
    """The batches of successive steps; the same for any number of workers.

    Args:
        places: places in the batch that this process draws, by default all. Process r of R takes `range(r, batch, R)`.
    """

    def __init__(self, sampler: CropSampler, workers: int | None = None, places: range | None = None) -> None:
        self.sampler = sampler
        self.workers = workers or default_workers()
        self.places = range(sampler.recipe.train.batch) if places is None else places

    def batches(self, first_step: int) -> Generator[CropBatch]:
        """Endless; the threads stop when the generator is closed. Raises what `Song.segment` raises."""
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
