"""The per-hop arithmetic around the FFTs: windowing, masks with the high band, overlap-add.

Letters: C channels, S stems, M mask rows, N window length, H hop.
"""

from numba import types

from rtsep.shared.compiled import FLOAT32_INPUT, FLOAT32_LINE, FLOAT32_ROWS, kernel

_SPECTRUM = types.Array(types.complex64, 2, "C", readonly=True)
_STEM_SPECTRA = types.Array(types.complex64, 3, "C")
_MASKS = types.Array(types.float32, 3, "A", readonly=True)


@kernel(types.void(FLOAT32_ROWS, FLOAT32_INPUT, FLOAT32_LINE, FLOAT32_ROWS))
def push_and_window(history, samples, window, out):
    """Append `samples` (C, H) to `history` (C, N), dropping its oldest H, and write ``history * window`` to `out`.

    `window` (N,), `out` (C, N); H divides N.
    """
    # Block by block: source and target of a shift by one hop then never overlap, and the loops vectorise.
    hop = samples.shape[1]
    blocks = history.shape[1] // hop
    for c in range(history.shape[0]):
        row = history[c]
        for b in range(blocks - 1):
            newer = row[(b + 1) * hop : (b + 2) * hop]
            older = row[b * hop : (b + 1) * hop]
            for i in range(hop):
                older[i] = newer[i]
        newest = row[(blocks - 1) * hop :]
        for i in range(hop):
            newest[i] = samples[c, i]
        for i in range(window.shape[0]):
            out[c, i] = row[i] * window[i]


@kernel(types.void(_SPECTRUM, _MASKS, _STEM_SPECTRA))
def apply_masks(spectrum, masks, out):
    """Write ``spectrum * mask`` of every stem.

    `spectrum` (C, bins), `masks` (S, C, M), `out` (S, C, bins), M <= bins. Bins 0 .. M-2 have a gain each; the last
    mask row holds the one gain of all bins from M-1 up (what the network does not resolve is scaled, never silenced).
    """
    last = masks.shape[2] - 1
    for s in range(masks.shape[0]):
        for c in range(masks.shape[1]):
            for f in range(last):
                gain = masks[s, c, f]
                value = spectrum[c, f]
                out[s, c, f] = complex(value.real * gain, value.imag * gain)
            gain = masks[s, c, last]
            for f in range(last, spectrum.shape[1]):
                value = spectrum[c, f]
                out[s, c, f] = complex(value.real * gain, value.imag * gain)


@kernel(types.void(FLOAT32_ROWS, FLOAT32_LINE, FLOAT32_ROWS, FLOAT32_ROWS))
def overlap_add(frame, window, pending, out):
    """Add the end of one synthesised frame and output the hop that no later frame reaches.

    `frame` (R, N); `window` (M,), M <= N, for its last M samples; `pending` (R, M - H) sums of the earlier frames,
    updated; `out` (R, H), H divides M, M >= 2 H.
    """
    hop = out.shape[1]
    support = window.shape[0]
    last = support // hop - 1
    for r in range(frame.shape[0]):
        end = frame[r, frame.shape[1] - support :]
        for i in range(hop):
            out[r, i] = pending[r, i] + end[i] * window[i]
        for b in range(1, last + 1):
            added = end[b * hop : (b + 1) * hop]
            shape = window[b * hop : (b + 1) * hop]
            target = pending[r, (b - 1) * hop : b * hop]
            if b < last:
                carried = pending[r, b * hop : (b + 1) * hop]
                for i in range(hop):
                    target[i] = carried[i] + added[i] * shape[i]
            else:
                for i in range(hop):
                    target[i] = added[i] * shape[i]
