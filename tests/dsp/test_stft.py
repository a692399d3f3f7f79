"""Streaming STFT: frames where they belong, perfect reconstruction, resets, no allocation."""

import tracemalloc

import numpy as np
import pytest

from rtsep.dsp.mask_kernels import apply_masks
from rtsep.dsp.stft import StreamingISTFT, StreamingSTFT
from rtsep.dsp.windows import hann_periodic

HOP, N_FFT = 1024, 4096
LATENCY = N_FFT - HOP


def noise(channels: int, length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (channels, length)).astype(np.float32)


def pad_to_hops(x: np.ndarray, latency: int = LATENCY) -> np.ndarray:
    """Whole hops that hold `x` and the latency behind it."""
    hops = -(-(x.shape[1] + latency) // HOP)
    return np.pad(x, ((0, 0), (0, hops * HOP - x.shape[1])))


def round_trip(stft: StreamingSTFT, istft: StreamingISTFT, x: np.ndarray, latency: int = LATENCY) -> np.ndarray:
    padded = pad_to_hops(x, latency)
    pieces = [istft.push(stft.push(padded[:, begin : begin + HOP])).copy() for begin in range(0, padded.shape[1], HOP)]
    return np.concatenate(pieces, axis=1)[:, latency : latency + x.shape[1]]


@pytest.mark.parametrize("length", [0, 1, 1023, 1024, 4095, 4096, 4097, 44100 * 3 + 7])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("support", [4096, 3072, 2048])
def test_perfect_reconstruction_after_exactly_the_latency(length, channels, support) -> None:
    x = noise(channels, length)
    y = round_trip(StreamingSTFT(channels), StreamingISTFT(channels, support=support), x, latency=support - HOP)
    assert y.shape == x.shape
    np.testing.assert_allclose(y, x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [1, 4097, 20000])
def test_masks_of_one_give_every_stem_the_input(length) -> None:
    x = noise(2, length)
    padded = pad_to_hops(x)
    stft, istft = StreamingSTFT(2), StreamingISTFT(6)
    out = istft.spectrum.reshape(3, 2, -1)
    masks = np.ones((3, 2, 1025), np.float32)
    pieces = []
    for begin in range(0, padded.shape[1], HOP):
        apply_masks(stft.push(padded[:, begin : begin + HOP]), masks, out)
        pieces.append(istft.push(istft.spectrum).copy())
    y = np.concatenate(pieces, axis=1)[:, LATENCY : LATENCY + length]
    np.testing.assert_allclose(y, np.tile(x, (3, 1)), rtol=0, atol=1e-6)


def test_frame_t_covers_its_samples() -> None:
    x = noise(2, 8 * HOP)
    stft = StreamingSTFT(2)
    before = np.pad(x, ((0, 0), (LATENCY, 0)))
    for hop in range(8):
        # Pushing hop h completes frame h - 3, which begins at (h - 3) * HOP.
        spectrum = stft.push(x[:, hop * HOP : (hop + 1) * HOP])
        frame = before[:, hop * HOP : hop * HOP + N_FFT] * hann_periodic(N_FFT)
        np.testing.assert_allclose(spectrum, np.fft.rfft(frame), atol=2e-3)


def test_reset_is_a_new_beginning() -> None:
    x = noise(2, 5000)
    stft, istft = StreamingSTFT(2), StreamingISTFT(2)
    first = round_trip(stft, istft, x)
    for _ in range(2):
        stft.push(noise(2, HOP, seed=9))
        istft.push(stft.push(noise(2, HOP, seed=8)))
    stft.reset()
    istft.reset()
    np.testing.assert_array_equal(round_trip(stft, istft, x), first)


def test_other_sizes_reconstruct_too() -> None:
    x = noise(1, 640)
    stft, istft = StreamingSTFT(1, 256, 64), StreamingISTFT(1, 256, 64)
    pieces = [istft.push(stft.push(x[:, i : i + 64])).copy() for i in range(0, 640, 64)]
    np.testing.assert_allclose(np.concatenate(pieces, 1)[:, 192:], x[:, :-192], atol=1e-6)


@pytest.mark.parametrize("support", [4096, 3072, 2048])
def test_a_frame_sounds_only_in_its_support(support) -> None:
    istft = StreamingISTFT(1, support=support)
    spectrum = np.fft.rfft(np.ones((1, N_FFT))).astype(np.complex64)
    hops = [istft.push(spectrum if t == 0 else np.zeros_like(spectrum)).copy() for t in range(6)]
    sounding = [hop.any() for hop in hops]
    assert sounding == [t < support // HOP for t in range(6)]


def test_a_foreign_spectrum_is_copied_and_kept() -> None:
    spectrum = (noise(2, 2049) + 1j * noise(2, 2049, 1)).astype(np.complex64)
    kept = spectrum.copy()
    StreamingISTFT(2).push(spectrum)
    np.testing.assert_array_equal(spectrum, kept)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        StreamingSTFT(2).push(np.zeros((2, 1000), np.float32))
    with pytest.raises(ValueError, match="expected"):
        StreamingISTFT(2).push(np.zeros((2, 2048), np.complex64))
    with pytest.raises(ValueError, match="must divide"):
        StreamingSTFT(2, 4096, 1000)
    with pytest.raises(ValueError, match="must divide"):
        StreamingISTFT(2, 4096, 1000)
    with pytest.raises(ValueError, match="support"):
        StreamingISTFT(2, support=1024)


@pytest.mark.parametrize("support", [4096, 2048])
def test_a_hop_allocates_nothing(support: int) -> None:
    stft, istft = StreamingSTFT(2), StreamingISTFT(4, support=support)
    out = istft.spectrum.reshape(2, 2, -1)
    masks = np.full((2, 2, 1025, 8), 0.5, np.float32)
    hop = noise(2, HOP)

    def step(frame: int) -> None:
        apply_masks(stft.push(hop), masks[..., frame & 7], out)
        istft.push(istft.spectrum)

    step(0)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for frame in range(500):
            step(frame)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Views and numbers come and go (some hundred bytes); a copied hop would be 8 KiB, a spectrum 32.
    assert after - before < 1024
    assert peak - before < 4096
