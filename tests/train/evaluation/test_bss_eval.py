"""BSSEval v4 against museval's own figures, and against what is known of each kind of error."""

import numpy as np
import pytest
import torch

from rtsep.train.evaluation.bss_eval import BssEval, correlate

FRAME = 4000
SDR, ISR, SIR, SAR = range(4)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def filtered_stems(samples: int) -> np.ndarray:
    """Two stereo stems whose channels have something in common, the second silent in the third frame."""
    white = noise(17, 2, 2, samples + 2)
    stems = white[..., 2:] + 0.6 * white[..., 1:-1] + 0.3 * white[:, ::-1, :-2]
    stems[1, :, 2 * FRAME : 3 * FRAME] = 0
    return stems


def wrong_estimates(stems: np.ndarray) -> np.ndarray:
    """Each of the three kinds of error: what is in the wrong place, what is of the other stem, what is of neither."""
    spread = 0.9 * stems + 0.2 * np.roll(stems[:, ::-1], 30, axis=2)
    leaked = 0.15 * np.roll(stems[::-1], 100, axis=2)
    return spread + leaked + 0.05 * noise(18, *stems.shape)


# museval 0.4.1: museval.metrics.bss_eval(stems, estimates, window=FRAME, hop=FRAME, filters_len=512,
# framewise_filters=False, bsseval_sources_version=False) of the sounds above, 20 011 samples.
NONE = np.nan
MUSEVAL = [
    [[11.153373, 11.298966, NONE, 11.328597, 11.314554], [11.44989, 11.293785, NONE, 11.392172, 11.410579]],
    [[12.868891, 12.922246, NONE, 12.929167, 12.938583], [13.059315, 12.961393, NONE, 13.00475, 12.94516]],
    [[15.951397, 16.083728, NONE, 16.097255, 16.02072], [16.243028, 16.058526, NONE, 16.097007, 16.170448]],
    [[24.128233, 24.359196, NONE, 25.033334, 24.660566], [24.256273, 23.979617, NONE, 24.586417, 24.462417]],
]


def test_the_figures_are_those_of_museval() -> None:
    stems = filtered_stems(5 * FRAME + 11)
    frames = BssEval(stems, FRAME).evaluate(wrong_estimates(stems))
    assert frames.shape == (4, 2, 5)
    np.testing.assert_allclose(frames, MUSEVAL, atol=1e-4)


@pytest.mark.parametrize(("samples", "lags"), [(1, 1), (7, 3), (3, 7), (1000, 5), (20011, 512)])
def test_correlations_are_sums_of_products(samples: int, lags: int) -> None:
    left, right = noise(1, 3, samples).astype(np.float64), noise(2, 2, samples).astype(np.float64)
    found = correlate(torch.from_numpy(left), torch.from_numpy(right), lags).numpy()
    assert found.shape == (3, 2, lags)
    for k in {0, 1, lags - 1} & set(range(lags)):
        expected = left[:, : max(0, samples - k)] @ right[:, k:].T
        np.testing.assert_allclose(found[:, :, k], expected, atol=1e-9 * samples)


def slowly_judged(references: np.ndarray, estimates: np.ndarray, taps: int) -> np.ndarray:
    """The definition, word for word: filters by least squares, filtered frames, energies; (4, S, J)."""
    stems, channels, samples = references.shape
    heard = estimates.reshape(-1, samples).astype(np.float64)

    def delayed(rows: np.ndarray) -> np.ndarray:
        """(R, n) -> (R * taps, n + taps - 1)."""
        wide = np.zeros((len(rows), taps, rows.shape[1] + taps - 1))
        for k in range(taps):
            wide[:, k, k : k + rows.shape[1]] = rows
        return wide.reshape(-1, wide.shape[2])

    def projected(rows: np.ndarray, onto: np.ndarray, frame: slice) -> np.ndarray:
        basis = delayed(onto)
        filters = np.linalg.lstsq(basis @ basis.T, basis @ np.pad(rows, ((0, 0), (0, taps - 1))).T, rcond=None)[0]
        return filters.T @ delayed(onto[:, frame])

    ratios = np.zeros((4, stems, samples // FRAME))
    for j in range(samples // FRAME):
        frame = slice(j * FRAME, (j + 1) * FRAME)
        for s in range(stems):
            mine = slice(s * channels, (s + 1) * channels)
            truth, estimate = (np.pad(x[:, frame], ((0, 0), (0, taps - 1))) for x in (references[s], heard[mine]))
            own = projected(heard[mine], references[s].astype(np.float64), frame)
            explained = projected(heard[mine], references.reshape(-1, samples).astype(np.float64), frame)
            parts = [(truth, estimate - truth), (truth, own - truth), (own, explained - own)]
            parts.append((explained, estimate - explained))
            ratios[:, s, j] = [10 * np.log10(np.sum(signal**2) / np.sum(noise**2)) for signal, noise in parts]
    return ratios


def test_energies_of_filtered_frames_are_those_of_the_filtered_signals() -> None:
    stems = filtered_stems(3 * FRAME + 11)[:, :, :-11]
    stems[1, :, 2 * FRAME :] = noise(19, 2, FRAME)
    estimates = wrong_estimates(stems)
    np.testing.assert_allclose(
        BssEval(stems, FRAME, 16).evaluate(estimates), slowly_judged(stems, estimates, 16), atol=1e-6
    )


def test_what_has_no_artifacts_but_rounding_has_a_ratio_to_them_of_120_db() -> None:
    stems = noise(20, 2, 2, 2 * FRAME)
    ratios = BssEval(stems, FRAME, taps=16).evaluate(np.broadcast_to(stems.sum(axis=0), stems.shape))
    np.testing.assert_allclose(ratios[SAR], 120, atol=1e-6)


def test_each_kind_of_error_lowers_its_own_ratio() -> None:
    stems = noise(3, 2, 2, 10 * FRAME)
    judge = BssEval(stems, FRAME, taps=16)
    moved = judge.evaluate(np.roll(stems, 3, axis=2))[:, 0, 1:]  # a delay within the filters' reach
    assert (moved[SDR] < 0).all() and (moved[ISR] < 0).all() and (moved[SIR] > 25).all() and (moved[SAR] > 25).all()
    mixed = judge.evaluate(stems + 0.1 * stems[::-1])[:, 0]
    np.testing.assert_allclose(mixed[SIR], 20, atol=0.5)
    assert (mixed[ISR] > 30).all() and (mixed[SAR] > 30).all()
    noisy = judge.evaluate(stems + 0.1 * noise(4, *stems.shape))[:, 0]
    np.testing.assert_allclose(noisy[SAR], 20, atol=0.5)
    assert (noisy[ISR] > 30).all() and (noisy[SIR] > 30).all()


def test_sdr_is_the_ratio_of_stem_to_error_in_each_frame() -> None:
    stems = noise(5, 1, 2, 2 * FRAME + 99)
    estimates = stems.copy()
    estimates[:, :, :FRAME] *= 0.9
    estimates[:, :, FRAME:] *= 0.5
    sdr = BssEval(stems, FRAME, taps=8).evaluate(estimates)[SDR, 0]
    np.testing.assert_allclose(sdr, [20, 6.0206], atol=1e-4)


def test_frames_in_which_a_stem_or_an_estimate_is_silent_are_judged_for_none() -> None:
    stems = noise(6, 2, 2, 4 * FRAME)
    estimates = stems + 0.1 * noise(7, 2, 2, 4 * FRAME)
    stems[0, :, :FRAME] = 0
    estimates[1, :, 2 * FRAME : 3 * FRAME] = 0
    frames = BssEval(stems, FRAME, taps=8).evaluate(estimates)
    np.testing.assert_array_equal(np.isnan(frames).any(axis=(0, 1)), [True, False, True, False])
    np.testing.assert_array_equal(np.isnan(frames).all(axis=(0, 1)), [True, False, True, False])


def test_mono_sounds_can_be_judged() -> None:
    """Both channels are the same: any filter that takes from one what it gives to the other would do."""
    stems = np.repeat(noise(8, 2, 1, 3 * FRAME), 2, axis=1)
    mixed = BssEval(stems, FRAME, taps=32).evaluate(stems + 0.1 * stems[::-1])
    np.testing.assert_allclose(mixed[SIR], 20, atol=1)
    np.testing.assert_allclose(mixed[SDR], 20, atol=0.5)


def test_a_song_shorter_than_a_frame_is_one_frame() -> None:
    stems = noise(9, 2, 2, FRAME // 2)
    assert BssEval(stems, FRAME, taps=8).evaluate(0.9 * stems).shape == (4, 2, 1)


def test_estimates_of_another_shape_are_the_callers_mistake() -> None:
    stems = noise(9, 2, 2, 100)
    with pytest.raises(ValueError, match=r"expected estimates \(2, 2, 100\), got \(2, 2, 99\)"):
        BssEval(stems, FRAME, taps=8).evaluate(stems[..., :99])
