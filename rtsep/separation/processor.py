"""The one path of separation: hops of mixture in, hops of stems out. `StreamSeparator` and the worker use it.

One hop in completes one frame (the window reaches 3 hops back), one frame gives one mask, and the overlap-add of that
frame completes an earlier hop: in standard latency the frame's first, in medium its second, in low its third.

    hop h in  ->  frame h - 3  ->  mask of frame h - 3 - L  ->  hop h - D - L out

L is the network's lookahead, D = 3, 2 or 1 the hops of the synthesis window beside its own. The mask is estimated from
the whole frame in every mode. With frames of 2048 samples, as some networks want them, a hop completes frame h - 1, and
D = 1 in every mode.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp.mask_kernels import apply_masks
from rtsep.dsp.stft import StreamingISTFT, StreamingSTFT
from rtsep.dsp.wiener import MultichannelWiener
from rtsep.errors import BrokenNetwork
from rtsep.separation.backends.stepper import FrameStepper
from rtsep.timebase import HOP, N_FFT, SUPPORT_HOPS, synthesis_support

Float32 = NDArray[np.float32]
BROKEN = "the model produced NaN or infinite values; run `rtsep models check` on it"


class Processor:
    """Separates a stream of hops. S stems, C channels, K hops a call. Allocates nothing of its own per call.

    Args:
        stepper: the network; the instant one, where another takes over from it, see `offer`.
        latency: standard, medium or low: the fewer frames the synthesis waits for, the lower the quality, slightly.
        wiener: filters the stems in place of the masks alone; a reset leaves its memory as it is.
        n_fft: samples of a frame, at most the default, for which the priming of windows is made.

    Attributes:
        delay_hops, context_frames: of the network in use.
        successor: what can take over from the network in use; None while it is in use itself, or there is none.
    """

    def __init__(
        self,
        stepper: FrameStepper,
        latency: str = "standard",
        wiener: MultichannelWiener | None = None,
        n_fft: int = N_FFT,
    ) -> None:
        support = synthesis_support(latency, n_fft)
        spectrum_bins = n_fft // 2 + 1
        self.stems = stepper.stems
        self.channels = stepper.channels
        self.max_chunk = stepper.max_chunk
        self.scaled_by_peak = stepper.scaled_by_peak
        self.n_fft = n_fft
        self.wiener = wiener
        self._settings = latency, n_fft
        self._support_delay = support // HOP - 1
        self._first = stepper
        self._model: FrameStepper | None = None
        self._use(stepper)
        self._analysis = StreamingSTFT(self.channels, n_fft, HOP)
        self._synthesis = StreamingISTFT(len(self.stems) * self.channels, n_fft, HOP, support)
        self._make_room(stepper.lookahead_frames, stepper.bins)
        self._masked = self._synthesis.spectrum.reshape(len(self.stems), self.channels, spectrum_bins)

    def _use(self, stepper: FrameStepper) -> None:
        self._stepper = stepper
        self._lookahead, self._bins = stepper.lookahead_frames, stepper.bins
        self.context_frames = stepper.context_frames
        self.delay_hops = self._support_delay + stepper.lookahead_frames
        self.successor = self._model if stepper is not self._model else None

    def _make_room(self, lookahead: int, bins: int) -> None:
        # A ring, in which spectra wait for masks that come `lookahead` frames later; the next chunk begins at `_next`.
        shape = (lookahead + self.max_chunk, self.channels, self.n_fft // 2 + 1)
        self._spectra = np.zeros(shape, np.complex64)
        self._next = 0
        self._magnitudes = np.zeros(self.channels * bins * self.max_chunk, np.float32)

    def offer(self, model: FrameStepper) -> None:
        """From now on `model` can take over from the network in use, see `handing_over`; `start_over` goes back to it.

        Args:
            model: it needs long for its first sound where the network in use is quick. It has the same stems in the
                same order, the same channels, and no shorter chunks.

        Raises ValueError if the network in use has lookahead.
        """
        if self._lookahead:
            raise ValueError(f"an instant network must have no lookahead, got {self._lookahead} frames")
        self._model = self.successor = model
        self._make_room(model.lookahead_frames, max(model.bins, self._first.bins))

    def new_stream(self) -> Processor:
        """A processor with the same weights and settings and a state of its own, without the instant network."""
        latency, n_fft = self._settings
        wiener = copy.deepcopy(self.wiener)
        if wiener is not None:
            wiener.reset()
            wiener.running = True
        return Processor(self._stepper.new_stream(), latency, wiener, n_fft)

    @property
    def latency_samples(self) -> int:
        """Samples from input to output, for a call of one hop."""
        return self.delay_hops * HOP

    def reset(self) -> None:
        """Forget the stream: the next hop is the first of a song, with silence before it."""
        self._synthesis.reset()
        self._restart_analysis()

    def expect_peak(self, peak: float) -> None:
        """Of a `scaled_by_peak` network: the song that follows a reset has this largest magnitude; 0: unknown."""
        self._stepper.expect_peak(peak)

    def start_over(self) -> None:
        """Use the network that came first; `warm` must follow."""
        self._use(self._first)

    def handing_over(self, mixture: Float32, prime_hops: int = SUPPORT_HOPS) -> Iterator[None]:
        """Let the successor go on with the stream, one step at a time; then `process` continues without a seam.

        Args:
            mixture: (C, n * hop): the past of the next hop to `process`, which is the successor's `lookahead_frames`
                later than it was for the instant network. The successor's strides count from its first frame on.
            prime_hops: as of `warm`.
        """
        assert self.successor is not None
        self._use(self.successor)
        yield from self._warming(mixture, prime_hops, self._stepper.hear)

    def interrupt_when(self, condition: Callable[[], bool]) -> None:
        """Raise `Interrupted` soon from a long step in which `condition` becomes true; then only `warm` may follow."""
        self._stepper.interrupt_when(condition)

    def process(self, mixture: Float32, out: Float32, again: int = 0, heard: int | None = None) -> None:
        """Separate K hops: input hop h gives output hop h - `delay_hops`.

        Args:
            mixture: (C, K * hop), 1 <= K <= max_chunk.
            out: (S, C, K * hop), overwritten but for the first `again` hops.
            heard: the network gets silence in place of the frames from this one on; None: it gets all.
            again: after `warm`, the first hops that were processed before it too. The network hears them as part of the
                step, what was synthesised of them stays, and the stream continues behind them without a seam.

        Raises BrokenNetwork (with `out` half written) if a stem is not finite.
        """
        frames = self._check(mixture)
        magnitudes = self._analyse(mixture, 0, frames)
        if heard is not None:
            magnitudes[:, :, heard:] = 0
        masks = self._stepper.step(magnitudes)
        rows = out.reshape(-1, out.shape[-1])
        for k in range(again, frames):
            if self.wiener is None:
                apply_masks(self._waiting(k), masks[..., k], self._masked)
            else:
                self.wiener.separate(self._waiting(k), masks[..., k], self._masked)
            hop = self._synthesis.push(self._synthesis.spectrum)
            rows[:, k * HOP : (k + 1) * HOP] = hop
            # One sum is enough: NaN and infinity survive it, and no sound is loud enough to overflow it.
            if not np.isfinite(np.vdot(hop, hop)):
                raise BrokenNetwork(BROKEN)
        self._advance(frames)

    def hear(self, mixture: Float32) -> None:
        """Let the Wiener filter hear K hops that are not separated: (C, K * hop), 1 <= K <= max_chunk."""
        assert self.wiener is not None
        frames = self._check(mixture)
        masks = self._stepper.step(self._analyse(mixture, 0, frames))
        for k in range(frames):
            self.wiener.observe(self._waiting(k), masks[..., k])
        self._advance(frames)

    def largest_magnitude(self, mixture: Float32) -> float:
        """Of the frames that K hops complete, (C, K * hop); the network does not hear them."""
        hops = np.split(mixture, mixture.shape[-1] // HOP, axis=1)
        return max(float(np.abs(self._analysis.push(np.ascontiguousarray(hop))).max()) for hop in hops)

    def warm(self, mixture: Float32, prime_hops: int = SUPPORT_HOPS) -> None:
        """Give the network the past: restart the analysis, push `mixture` (C, n * hop), any n, and return nothing.

        The first `prime_hops` only fill the window, so that every frame is whole; 0 at the start of a song. What was
        synthesised already is kept: warmed with the last n hops again, the stream continues without a seam.
        """
        for _ in self.warming(mixture, prime_hops):
            pass

    def warming(self, mixture: Float32, prime_hops: int = SUPPORT_HOPS) -> Iterator[None]:
        """`warm`, one step of the network at a time. Unfinished, only `reset` or another `warm` may follow."""
        return self._warming(mixture, prime_hops, self._stepper.step)

    def _warming(self, mixture: Float32, prime_hops: int, hear: Callable[[Float32], object]) -> Iterator[None]:
        self._restart_analysis()
        hops = mixture.shape[-1] // HOP
        for hop in range(min(prime_hops, hops)):
            self._analysis.push(mixture[:, hop * HOP : (hop + 1) * HOP])
        for first in range(prime_hops, hops, self.max_chunk):
            frames = min(self.max_chunk, hops - first)
            hear(self._analyse(mixture, first, frames))
            self._advance(frames)
            yield

    def _restart_analysis(self) -> None:
        self._analysis.reset()
        self._stepper.reset()
        self._spectra[:] = 0

    def _analyse(self, mixture: Float32, first_hop: int, frames: int) -> Float32:
        """Push hops; their spectra go to `_spectra`, their magnitudes (C, F, K) are returned."""
        size = self.channels * self._bins * frames
        magnitudes = self._magnitudes[:size].reshape(self.channels, self._bins, frames)
        for k in range(frames):
            start = (first_hop + k) * HOP
            spectrum = self._analysis.push(mixture[:, start : start + HOP])
            self._spectra[(self._next + k) % len(self._spectra)] = spectrum
            np.abs(spectrum[:, : self._bins], out=magnitudes[:, :, k])
        return magnitudes

    def _waiting(self, k: int) -> NDArray[np.complex64]:
        """The spectrum (C, bins) that the mask of this chunk's frame k is for."""
        return self._spectra[(self._next + k - self._lookahead) % len(self._spectra)]

    def _advance(self, frames: int) -> None:
        self._next = (self._next + frames) % len(self._spectra)

    def _check(self, mixture: Float32) -> int:
        frames, rest = divmod(mixture.shape[-1], HOP)
        if rest or not 1 <= frames <= self.max_chunk:
            raise ValueError(f"expected 1 to {self.max_chunk} hops of {HOP} samples, got {mixture.shape[-1]} samples")
        return frames
