"""Nameless shared memory: seen by both processes, gone with the last, closed in any order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtsep.shared.memory import SharedBlock

CHILD = """
import sys
import numpy as np
from rtsep.shared.memory import SharedBlock
block = SharedBlock.attach(int(sys.argv[1]), int(sys.argv[2]))
values = np.frombuffer(block.buffer, np.int64)
values[1:] = values[0] + np.arange(1, len(values))
if len(sys.argv) > 3:
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run_child(block: SharedBlock, *more: str) -> int:
    command = [sys.executable, "-c", CHILD, str(block.fd), str(block.nbytes), *more]
    return subprocess.run(command, pass_fds=[block.fd], check=False).returncode


def shared_memory_files() -> set[str]:
    folder = Path("/dev/shm")
    return {path.name for path in folder.iterdir() if "rtsep" in path.name} if folder.exists() else set()


@pytest.mark.parametrize("nbytes", [8, 4096, 100_000])
def test_a_child_sees_and_changes_the_same_memory(nbytes) -> None:
    block = SharedBlock.create(nbytes)
    values = np.frombuffer(block.buffer, np.int64)
    assert not values.any()
    values[0] = 40
    assert run_child(block) == 0
    np.testing.assert_array_equal(values, 40 + np.arange(nbytes // 8))
    block.close()


def test_a_killed_child_leaves_the_memory_to_us_and_nothing_behind() -> None:
    names = shared_memory_files()
    block = SharedBlock.create(800)
    values = np.frombuffer(block.buffer, np.int64)
    assert run_child(block, "die") == -9
    np.testing.assert_array_equal(values, np.arange(100))
    assert shared_memory_files() == names
    block.close()
    assert shared_memory_files() == names


def test_arrays_outlive_the_block_that_made_them() -> None:
    block = SharedBlock.create(800)
    values = np.frombuffer(block.buffer, np.float32)
    block.close()
    values[:] = 3.0
    assert values.sum() == 600.0


def test_close_gives_the_descriptor_back_and_may_be_called_twice() -> None:
    block = SharedBlock.create(64)
    fd = block.fd
    os.fstat(fd)
    block.close()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(fd)
    other = os.open(os.devnull, os.O_RDONLY)  # takes the number over
    block.close()
    os.fstat(other)
    os.close(other)


def test_a_descriptor_is_not_inherited_by_chance() -> None:
    block = SharedBlock.create(64)
    assert not os.get_inheritable(block.fd)
    block.close()


def test_a_block_that_is_too_small_is_refused_not_mapped() -> None:
    block = SharedBlock.create(64)
    with pytest.raises(ValueError, match="holds 64 bytes, 65 expected"):
        SharedBlock.attach(block.fd, 65)
    block.close()
    with pytest.raises(ValueError, match="at least one byte"):
        SharedBlock.create(0)


REFUSED = r"shared memory: 16 MiB needed, and the system refuses \(.+\); free memory, or allow more: .*--shm-size=64m"
LIMITED = """
import sys
from rtsep.errors import RtsepError
from rtsep.shared.memory import SharedBlock
{setup}
try:
    block = SharedBlock.create(16 << 20)
except RtsepError as error:
    sys.exit(str(error))
block.buffer[:] = bytes(block.nbytes)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits are POSIX")
def test_a_limit_that_is_too_small_is_reported_with_the_remedy() -> None:
    setup = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))"
    child = subprocess.run([sys.executable, "-c", LIMITED.format(setup=setup)], stderr=subprocess.PIPE, text=True)
    assert re.fullmatch(REFUSED, child.stderr.strip())


@pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces are Linux's")
def test_a_dev_shm_of_64_kib_is_reported_not_a_bus_error() -> None:
    """As in containers; where the system permits memfd it isn't used at all."""
    setup = "import os\ndef refuse(*_): raise PermissionError\nos.memfd_create = refuse"
    mount = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64k tmpfs /dev/shm || exit 99; exec "$@"', "sh"]
    try:
        command = [*mount, sys.executable, "-c", LIMITED.format(setup=setup)]
        child = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if child.returncode == 99 or "unshare failed" in child.stderr:
        pytest.skip("mounting isn't permitted here")
    assert re.fullmatch(REFUSED, child.stderr.strip())
