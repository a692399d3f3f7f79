"""Ordered words: right values, and the instructions that give the order are really there."""

import re

import numpy as np
import pytest
from numba import njit, types
from numba.core.errors import NumbaError

from rtsep.shared.atomics import fence, float32_at, int64_at, load_f32, load_i64, store_f32, store_i64
from rtsep.shared.compiled import FLAGS, INT64_LINE


def test_values_come_back() -> None:
    words, floats = np.zeros(4, np.int64), np.zeros(4, np.float32)
    for index, value in ((0, -1), (3, 2**62), (1, -(2**63))):
        store_i64(words, index, value)
        assert load_i64(words, index) == value == words[index]
    store_f32(floats, 2, 0.5)
    assert load_f32(floats, 2) == 0.5
    assert floats.tolist() == [0, 0, 0.5, 0]
    fence()


def test_loads_acquire_stores_release_and_the_fence_is_total() -> None:
    def use(words):
        store_i64(words, 0, 1)
        fence()
        return load_i64(words, 1)

    compiled = njit(types.int64(INT64_LINE))(use)
    code = next(iter(compiled.inspect_llvm().values()))
    assert re.search(r"store atomic i64 .* release", code)
    assert re.search(r"fence seq_cst", code)
    assert re.search(r"load atomic i64, .* acquire", code)


def test_addresses_become_views_of_the_very_memory() -> None:
    @njit
    def touch(words_address, floats_address):
        int64_at(words_address, 3)[2] = 9
        rows = float32_at(floats_address, 2, 3)
        rows[1, 0] = 0.5
        return rows.shape

    words, floats = np.zeros(3, np.int64), np.zeros((2, 3), np.float32)
    assert touch(words.ctypes.data, floats.ctypes.data) == (2, 3)
    assert words.tolist() == [0, 0, 9]
    assert floats.tolist() == [[0, 0, 0], [0.5, 0, 0]]


def test_a_kernel_that_allocates_does_not_compile() -> None:
    with pytest.raises((NumbaError, NotImplementedError, RuntimeError)):
        njit(types.float64(types.int64), **FLAGS)(lambda count: np.zeros(count).sum())
