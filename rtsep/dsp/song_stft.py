"""The STFT of a whole signal and its inverse, by the transforms that streams use."""

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp.mask_kernels import apply_masks
from rtsep.dsp.stft import StreamingISTFT, StreamingSTFT
from rtsep.timebase import HOP, N_FFT, synthesis_support

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]


def centred_frames(samples: int, n_fft: int = N_FFT, hop: int = HOP) -> int:
    """Frames whose centre lies within a signal, its end included; with n_fft = 2 hop those that librosa makes of it.

    `analyse` gives more: all that touch the signal.
    """
    return samples // hop + n_fft // (2 * hop)


def analyse(x: Float32, n_fft: int = N_FFT, hop: int = HOP) -> Complex64:
    """(C, N) -> frames (T, C, bins), from the first that touches the signal to the last."""
    hops = -(-x.shape[1] // hop) + n_fft // hop - 1
    padded = np.zeros((x.shape[0], hops * hop), np.float32)
    padded[:, : x.shape[1]] = x
    transform = StreamingSTFT(x.shape[0], n_fft, hop)
    spectra = np.empty((hops, x.shape[0], transform.bins), np.complex64)
    for h in range(hops):
        spectra[h] = transform.push(np.ascontiguousarray(padded[:, h * hop : (h + 1) * hop]))
    return spectra


def synthesise(
    frames: Complex64, masks: Float32, samples: int, n_fft: int = N_FFT, hop: int = HOP, latency: str = "standard"
) -> Float32:
    """Masked frames back to sound, as played in a latency mode: (T, C, bins), masks (S, C, F + 1, T) -> (S, C, N)."""
    stems, channels = masks.shape[:2]
    support = synthesis_support(latency, n_fft, hop)
    transform = StreamingISTFT(stems * channels, n_fft, hop, support)
    buffer = transform.spectrum.reshape(stems, channels, -1)
    whole = np.empty((stems, channels, len(frames) * hop), np.float32)
    hops = whole.reshape(stems * channels, len(frames), hop)
    for t in range(len(frames)):
        apply_masks(frames[t], masks[..., t], buffer)
        hops[:, t] = transform.push(transform.spectrum)
    before = support - hop
    return whole[:, :, before : before + samples]
