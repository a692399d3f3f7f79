"""Batches drawn ahead: in order, the same with any number of threads, and no thread stays."""

import threading
from collections.abc import Sequence
from contextlib import closing
from itertools import islice

import numpy as np
import pytest
import torch

from rtsep.train.crops.batch import CropBatch
from rtsep.train.crops.loader import AHEAD_STEPS, CropLoader
from rtsep.train.crops.sampler import CropSampler
from rtsep.train.data.songs import Song
from rtsep.train.data.store import INT16_PER_UNIT, CacheError
from rtsep.train_settings import DataSource
from tests.train.sounds import make_recipe, noise

SOURCE = DataSource(folder="a", layout="stems")


@pytest.fixture
def sampler() -> CropSampler:
    songs = [
        Song(str(seed), np.rint(np.stack([noise(seed), noise(seed + 1)]) * INT16_PER_UNIT).astype(np.int16), SOURCE)
        for seed in (1, 3)
    ]
    return CropSampler(make_recipe(SOURCE, batch=3, speed_range=0.1, equalizer_db=2.0), songs, 7)


def take(loader: CropLoader, first_step: int, count: int) -> list[CropBatch]:
    with closing(loader.batches(first_step)) as batches:
        return list(islice(batches, count))


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("crops")]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_batches_are_the_same_with_any_number_of_workers_and_from_any_step(sampler: CropSampler, workers: int) -> None:
    expected = [sampler.batch(step) for step in range(9)]
    for first_step, count in ((0, 9), (4, 5)):
        for batch, wanted in zip(
            take(CropLoader(sampler, workers), first_step, count), expected[first_step:], strict=True
        ):
            torch.testing.assert_close(batch.stems, wanted.stems, atol=1e-6, rtol=1e-5)
            np.testing.assert_array_equal(batch.top_bin, wanted.top_bin)
            np.testing.assert_array_equal(batch.known, wanted.known)
    assert loader_threads() == []


def test_several_processes_share_a_batch(sampler: CropSampler) -> None:
    whole = take(CropLoader(sampler, 1), 0, 2)
    parts = [take(CropLoader(sampler, 2, range(rank, 3, 2)), 0, 2) for rank in range(2)]
    for step, batch in enumerate(whole):
        for rank in range(2):
            torch.testing.assert_close(batch.stems[rank::2], parts[rank][step].stems, atol=1e-6, rtol=1e-5)


def test_no_more_is_drawn_ahead_than_is_bounded(sampler: CropSampler) -> None:
    drawn: list[tuple[int, int]] = []
    batch = sampler.batch

    def counting(step: int, places: Sequence[int]) -> CropBatch:
        drawn.extend((step, place) for place in places)
        return batch(step, places)

    sampler.batch = counting  # type: ignore[method-assign]
    with closing(CropLoader(sampler, 2).batches(5)) as batches:
        next(batches)
        next(batches)
    assert max(step for step, _ in drawn) <= 5 + AHEAD_STEPS
    assert loader_threads() == []


def test_an_error_of_a_worker_ends_the_run_where_its_batch_is_due(sampler: CropSampler) -> None:
    batch = sampler.batch

    def failing(step: int, places: Sequence[int]) -> CropBatch:
        if step == 2 and 1 in places:
            raise CacheError("the disk is gone")
        return batch(step, places)

    sampler.batch = failing  # type: ignore[method-assign]
    loader = CropLoader(sampler, 3)
    batches = loader.batches(0)
    assert len([next(batches), next(batches)]) == 2
    with pytest.raises(CacheError, match="the disk is gone"):
        next(batches)
    assert loader_threads() == []
