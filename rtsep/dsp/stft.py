"""Streaming STFT and its inverse, one hop in, one hop out, without allocation.

Frame t covers samples [hop*t, hop*t + n_fft). Pushing hop h of the input completes frame h - (n_fft/hop - 1);
the frames before frame 0 see the zeros before the first sample. The inverse overlap-adds the last `support` samples
of each frame. Pushing frame t into it completes output hop t + (n_fft - support)/hop, so that a sample comes out
support - hop samples behind its own hop.
"""

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp.fft import RealFFT
from rtsep.dsp.mask_kernels import overlap_add, push_and_window
from rtsep.dsp.windows import hann_periodic, synthesis_window
from rtsep.timebase import HOP, N_FFT


class StreamingSTFT:
    """Hops of `channels` rows to spectra."""

    def __init__(self, channels: int, n_fft: int = N_FFT, hop: int = HOP) -> None:
        if hop < 1 or n_fft % hop:
            raise ValueError(f"hop {hop} must divide n_fft {n_fft}")
        self.channels, self.n_fft, self.hop, self.bins = channels, n_fft, hop, n_fft // 2 + 1
        self._fft = RealFFT(channels, n_fft)
        self._window = hann_periodic(n_fft)
        self._history = np.zeros((channels, n_fft), np.float32)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Take `samples` float32 (channels, hop), return the spectrum (channels, bins) of the frame they complete.

        The returned array is this object's buffer: valid until the next push.
        """
        if samples.shape != (self.channels, self.hop):
            raise ValueError(f"expected ({self.channels}, {self.hop}) samples, got {samples.shape}")
        push_and_window(self._history, samples, self._window, self._fft.time)
        self._fft.forward()
        return self._fft.spectrum

    def reset(self) -> None:
        """Forget all samples, as if the stream began here."""
        self._history[:] = 0.0


class StreamingISTFT:
    """Spectra to hops, for `rows` independent signals (stems times channels, say).

    Args:
        support: samples of the synthesis window, at the end of the frame, a multiple of the hop; n_fft if left out.

    Attributes:
        spectrum: complex64 (rows, bins), this object's own input buffer. Filling it and pushing it saves a copy.
    """

    def __init__(self, rows: int, n_fft: int = N_FFT, hop: int = HOP, support: int | None = None) -> None:
        self.rows, self.n_fft, self.hop, self.bins = rows, n_fft, hop, n_fft // 2 + 1
        self._fft = RealFFT(rows, n_fft)
        self._window = synthesis_window(hann_periodic(n_fft), hop, n_fft if support is None else support)
        self._pending = np.zeros((rows, len(self._window) - hop), np.float32)
        self._out = np.zeros((rows, hop), np.float32)
        self.spectrum = self._fft.spectrum

    def push(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Take one frame complex64 (rows, bins), return the hop float32 (rows, hop) which it completes.

        The returned array is this object's buffer, valid until the next push. When `spectrum` is this object's own
        buffer its content is undefined afterwards.
        """
        if spectrum is not self.spectrum:
            if spectrum.shape != (self.rows, self.bins):
                raise ValueError(f"expected a ({self.rows}, {self.bins}) spectrum, got {spectrum.shape}")
            np.copyto(self.spectrum, spectrum)
        self._fft.inverse()
        overlap_add(self._fft.time, self._window, self._pending, self._out)
        return self._out

    def reset(self) -> None:
        """Forget the frames still overlapping, as if the stream began here."""
        self._pending[:] = 0.0
