"""Multichannel Wiener filter: stems of a stereo mixture, from their masks and their place in the stereo field.

One step of expectation-maximisation on the local Gaussian model (Duong, Vincent and Gribonval, "Under-determined
reverberant audio source separation using a full-rank spatial covariance model", 2010), as `norbert.wiener` does it with
its defaults. From the masks' own share of the mixture, y_j = g_j x, of stem j in frame t and bin f:

    v_j(t, f) = mean over channels of |y_j|^2                 its power now
    R_j(f) = sum over t of y_j y_j^H / (e + sum over t of v_j)     its spatial covariance
    stem_j = v_j R_j (sum over all k of v_k R_k + sqrt(e) I)^-1 x

The sums over t are all that is remembered, so that the filter works in two passes over a song, as norbert's does, or
running, with what was heard so far. norbert divides the song by max(1, |x|max / 10) first; here e grows instead, which
is the same and leaves the sound alone.

Letters: S stems, F bins, M mask rows.
"""

from math import inf

import numpy as np
from numba import types
from numpy.typing import NDArray

from rtsep.shared.compiled import kernel

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

EPSILON = float(np.finfo(np.float32).eps)

_SPECTRUM = types.Array(types.complex64, 2, "C", readonly=True)
_SHARES = types.Array(types.float32, 3, "A", readonly=True)
_SUMS = types.Array(types.float64, 3, "C")
_STEMS = types.Array(types.complex64, 3, "C")


@kernel(types.void(_SPECTRUM, _SHARES, types.float64, _SUMS))
def add_covariances(spectrum, shares, keep, sums):
    """Multiply `sums` (S, F, 4) by `keep` and add y y^H: |y0|^2, |y1|^2, real and imaginary part of y0 conj(y1)."""
    last = shares.shape[2] - 1
    for s in range(shares.shape[0]):
        for f in range(spectrum.shape[1]):
            row = min(f, last)
            y0 = spectrum[0, f] * shares[s, 0, row]
            y1 = spectrum[1, f] * shares[s, 1, row]
            total = sums[s, f]
            total[0] = keep * total[0] + y0.real * y0.real + y0.imag * y0.imag
            total[1] = keep * total[1] + y1.real * y1.real + y1.imag * y1.imag
            total[2] = keep * total[2] + y0.real * y1.real + y0.imag * y1.imag
            total[3] = keep * total[3] + y0.imag * y1.real - y0.real * y1.imag


@kernel(types.float64(_SPECTRUM, _SHARES, _SUMS, types.float64, types.intp, types.intp))
def _gain(spectrum, shares, sums, epsilon, s, f):
    """v of a stem over the sum of its v: what its covariances are to be multiplied by."""
    row = min(f, shares.shape[2] - 1)
    y0 = spectrum[0, f] * shares[s, 0, row]
    y1 = spectrum[1, f] * shares[s, 1, row]
    loudness = y0.real * y0.real + y0.imag * y0.imag + y1.real * y1.real + y1.imag * y1.imag
    return loudness / (2 * epsilon + sums[s, f, 0] + sums[s, f, 1])


@kernel(types.void(_SPECTRUM, _SHARES, _SUMS, types.float64, types.float64, _STEMS))
def filter_stems(spectrum, shares, sums, epsilon, regularisation, out):
    """Write every stem's spectrum to `out` (S, 2, F)."""
    stems = shares.shape[0]
    for f in range(spectrum.shape[1]):
        left = right = regularisation  # the diagonal of the mixture's covariance
        real = imaginary = 0.0
        for s in range(stems):
            gain = _gain(spectrum, shares, sums, epsilon, s, f)
            left += gain * sums[s, f, 0]
            right += gain * sums[s, f, 1]
            real += gain * sums[s, f, 2]
            imaginary += gain * sums[s, f, 3]
        inverse = 1.0 / (left * right - real * real - imaginary * imaginary)  # of the determinant
        x0, x1 = spectrum[0, f], spectrum[1, f]
        across = complex(real, imaginary)
        whitened0 = inverse * (right * x0 - across * x1)
        whitened1 = inverse * (left * x1 - across.conjugate() * x0)
        for s in range(stems):
            gain = _gain(spectrum, shares, sums, epsilon, s, f)
            between = complex(sums[s, f, 2], sums[s, f, 3])
            out[s, 0, f] = gain * (sums[s, f, 0] * whitened0 + between * whitened1)
            out[s, 1, f] = gain * (between.conjugate() * whitened0 + sums[s, f, 1] * whitened1)


class MultichannelWiener:
    """The filter with its sums, for one stereo stream.

    Args:
        stems: S.
        bins: F, of a spectrum.
        memory_frames: after so many frames a frame counts 1/e of a new one; inf never forgets.

    Attributes:
        running: whether `separate` adds each frame to the sums first. Set it to False between two passes over a song.
    """

    def __init__(self, stems: int, bins: int, memory_frames: float = inf) -> None:
        if not memory_frames > 0:
            raise ValueError(f"memory_frames must be more than 0, got {memory_frames}")
        self._sums = np.zeros((stems, bins, 4))
        self.running = True
        self._keep = float(np.exp(-1 / memory_frames))
        self._peak = 0.0

    def observe(self, spectrum: Complex64, masks: Float32) -> None:
        """Add a frame to the sums: `spectrum` (2, F) of the mixture, `masks` (S, 2, M), the last row for all above."""
        add_covariances(spectrum, self._shares(masks), self._keep, self._sums)
        self._peak = max(self._peak, float(np.abs(spectrum).max()))

    def separate(self, spectrum: Complex64, masks: Float32, out: Complex64) -> None:
        """Write the stems' spectra (S, 2, F) of a frame to `out`."""
        if self.running:
            self.observe(spectrum, masks)
        scale = max(1.0, self._peak / 10) ** 2
        filter_stems(spectrum, self._shares(masks), self._sums, EPSILON * scale, EPSILON**0.5 * scale, out)

    def reset(self) -> None:
        """Forget all frames."""
        self._sums[:] = 0.0
        self._peak = 0.0

    def _shares(self, masks: Float32) -> Float32:
        """Return each stem's share of the sum of all masks: (S, 2, M)."""
        return masks / np.maximum(masks.sum(axis=0), np.float32(1e-20))
