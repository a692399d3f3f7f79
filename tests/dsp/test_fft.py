"""FFTW plans: right, reused, without allocation; wisdom cached and never in the way."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from rtsep.dsp import fft
from rtsep.dsp.fft import RealFFT


@pytest.mark.parametrize(("rows", "n_fft"), [(1, 2), (2, 4096), (5, 96)])
def test_forward_equals_numpy_and_inverse_undoes_it(rows, n_fft) -> None:
    transform = RealFFT(rows, n_fft)
    assert not transform.time.any()
    assert not transform.spectrum.any()
    x = np.random.default_rng(0).uniform(-1, 1, (rows, n_fft)).astype(np.float32)
    transform.time[:] = x
    transform.forward()
    np.testing.assert_allclose(transform.spectrum, np.fft.rfft(x), atol=1e-6 * n_fft)
    np.testing.assert_array_equal(transform.time, x)
    transform.inverse()
    np.testing.assert_allclose(transform.time, x, atol=5e-7)


def test_buffers_are_aligned_and_stay_the_same() -> None:
    transform = RealFFT(2, 4096)
    addresses = transform.time.ctypes.data, transform.spectrum.ctypes.data
    assert all(address % 32 == 0 for address in addresses)
    for _ in range(3):
        transform.forward()
        transform.inverse()
    assert addresses == (transform.time.ctypes.data, transform.spectrum.ctypes.data)


def test_transforms_allocate_nothing() -> None:
    transform = RealFFT(4, 4096)
    transform.forward()
    transform.inverse()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(300):
            transform.forward()
            transform.inverse()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Python's own small change (the loop counter) but nothing like a buffer of 4096 samples.
    assert after - before < 512
    assert peak - before < 2048


def test_sizes_that_make_no_sense_are_refused() -> None:
    for rows, n_fft in ((0, 64), (1, 63), (1, 0)):
        with pytest.raises(ValueError, match="expected rows"):
            RealFFT(rows, n_fft)


PLAN = """
import sys, pathlib
from rtsep.dsp import fft
fft.wisdom_path = lambda: pathlib.Path(sys.argv[1])
fft.RealFFT(3, 480)
"""


def plan_in_new_process(path) -> None:
    subprocess.run([sys.executable, "-c", PLAN, str(path)], check=True)


def test_wisdom_is_written_once_and_reused(tmp_path) -> None:
    path = tmp_path / "cache" / "wisdom"
    plan_in_new_process(path)
    written = path.stat().st_mtime_ns
    assert path.read_bytes().startswith(b"(fftw")
    plan_in_new_process(path)
    assert path.stat().st_mtime_ns == written, "a plan that is known was measured again"
    assert list(path.parent.iterdir()) == [path], "a temporary file was left behind"


@pytest.mark.parametrize("rubbish", [b"", b"\x00\xff" * 1000, b"(fftw-3.3.8 fftwf_wisdom #x0 (", b"(" * 100])
def test_damaged_wisdom_is_ignored_and_replaced(tmp_path, rubbish) -> None:
    path = tmp_path / "wisdom"
    path.write_bytes(rubbish)
    plan_in_new_process(path)
    assert path.read_bytes().startswith(b"(fftw")


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    plan_in_new_process(tmp_path / "file" / "wisdom")


def test_the_cache_is_the_users_own() -> None:
    assert "rtsep" in fft.wisdom_path().parts[-2:][0] or "rtsep" in str(fft.wisdom_path())
