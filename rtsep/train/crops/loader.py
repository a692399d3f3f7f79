"""Make crops ahead of the training step, so that the device does not wait for them.

On the CPU in threads, not processes: file reads and PyTorch's operations release the interpreter lock, and nothing has
to be copied between processes. On a CUDA device in one thread, which makes whole batches on a stream of its own.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from rtsep.train.crops.batch import CropBatch, join
from rtsep.train.crops.sampler import CropSampler

AHEAD_STEPS = 3
MOST_WORKERS = 8


def default_workers(processes: int = 1) -> int:
    """One thread fewer than this process's share of the processors, from 1 to MOST_WORKERS.

    `processes`: number of training processes on the machine.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, max(1, usable // processes - 1))


class CropLoader:
    """The batches of successive steps, on the sampler's device; the same for any number of workers.

    Args:
        workers: threads that make crops on the CPU.
        places: places in the batch that this process draws, by default all. Process r of R takes `range(r, batch, R)`.
    """

    def __init__(self, sampler: CropSampler, workers: int | None = None, places: range | None = None) -> None:
        self.sampler = sampler
        self.places = range(sampler.recipe.train.batch) if places is None else places
        on_card = sampler.device.type == "cuda"
        self.workers = 1 if on_card else workers or default_workers()
        self._jobs: list[Sequence[int]] = [self.places] if on_card else [[place] for place in self.places]
        self._stream = torch.cuda.Stream(sampler.device) if on_card else None

    def batches(self, first_step: int) -> Generator[CropBatch]:
        """Endless; the threads stop when the generator is closed. Raises what `SampleBank.segment` raises."""
        executor = ThreadPoolExecutor(self.workers, thread_name_prefix="crops")
        ahead: deque[list[Future[CropBatch]]] = deque()
        step = first_step
        try:
            while True:
                while len(ahead) < AHEAD_STEPS:
                    ahead.append([executor.submit(self._make, step, places) for places in self._jobs])
                    step += 1
                batch = join([future.result() for future in ahead.popleft()])
                if self._stream is not None:
                    batch.use_on(torch.cuda.current_stream(self.sampler.device))
                yield batch
        finally:
            executor.shutdown(cancel_futures=True)

    def _make(self, step: int, places: Sequence[int]) -> CropBatch:
        if self._stream is None:
            return self.sampler.batch(step, places)
        with torch.cuda.stream(self._stream):
            batch = self.sampler.batch(step, places)
        self._stream.synchronize()  # in this thread, which has nothing else to do
        return batch
