"""The multichannel Wiener filter written down step by step, in double precision, as norbert defines it."""

from __future__ import annotations

import numpy as np

EPSILON = float(np.finfo(np.float32).eps)


def wiener_filter(estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Magnitudes (T, F, 2, S) and spectra (T, F, 2) -> stems' spectra (T, F, 2, S)."""
    estimates, mixture = estimates.astype(np.float64), mixture.astype(np.complex128)
    stems = estimates / (EPSILON + estimates.sum(axis=3, keepdims=True)) * mixture[..., None]
    scale = max(1.0, float(np.abs(mixture).max()) / 10)
    stems, mixture = stems / scale, mixture / scale
    loudness = np.square(np.abs(stems)).mean(axis=2)  # (T, F, S)
    covariances = np.einsum("tfis,tfjs->fsij", stems, stems.conj())
    covariances /= (EPSILON + loudness.sum(axis=0))[..., None, None]
    whole = np.einsum("tfs,fsij->tfij", loudness, covariances) + EPSILON**0.5 * np.eye(2)
    whitened = np.linalg.solve(whole, mixture[..., None])[..., 0]
    return scale * np.einsum("tfs,fsij,tfj->tfis", loudness, covariances, whitened)
