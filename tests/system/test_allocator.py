"""Freed memory, kept: counted by the page faults that fresh memory costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from rtsep.system.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        arrays = [np.ones(size, dtype=np.float32) for size in (1_300_021, 16_000_003, 4_900_001)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

fresh = (faults(), faults())[1]
if not keep_freed_memory():
    sys.exit(3)
print(fresh, (faults(), faults())[1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have other allocators")
def test_what_was_freed_is_used_again_without_asking_the_kernel() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("this C library has no such settings")
    assert done.returncode == 0, done.stderr
    fresh, kept = map(int, done.stdout.split())
    assert kept < fresh / 10
