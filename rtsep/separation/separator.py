"""The interface of everything that separates, whatever its network: `rtsep.load` returns one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.reader import LARGEST_SAMPLE

Float32 = NDArray[np.float32]


@runtime_checkable
class Separator(Protocol):
    """A network and one stream of sound: blocks of a mixture in, the stems that they complete out.

    What `feed` and `flush` have returned by the end is as long as what was fed, and aligned with it. In a `with`
    statement it is reset at the end, also after an exception.

    Attributes:
        stems: names of the stems.
        channels: channels of a block.
        sample_rate: of a block, in Hz.
        latency_samples: the most samples that can have been fed and not returned yet; None for the whole song.
        learns: whether it gains by `learn`.
    """

    stems: tuple[str, ...]
    channels: int
    sample_rate: int
    latency_samples: int | None
    learns: bool

    def feed(self, block: Float32) -> dict[str, Float32]:
        """The stems that `block` completes: name -> float32 (channels, m), m >= 0.

        Args:
            block: floating point (channels, n), any n >= 0.

        Raises ValueError for a block of another shape or type, or whose samples are NaN or infinite, and changes
        nothing then; BrokenNetwork if the network's output is not finite, after a reset.
        """
        ...

    def flush(self) -> dict[str, Float32]:
        """The rest of the stems, name -> float32 (channels, m); then reset, ready for a new stream."""
        ...

    def reset(self) -> None:
        """Forget the stream: the next sample fed is the first of a new one."""
        ...

    def learn(self, song: Iterable[Float32]) -> None:
        """Hear a whole song, in blocks (channels, n), before that song is fed from its beginning.

        Raises ValueError for a separator that does not learn.
        """
        ...

    def new_stream(self) -> Self:
        """Another separator with the same weights, which are not loaded again, and a stream of its own."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.reset()


def checked_block(block: Float32, channels: int) -> Float32:
    """`block` as float32 (channels, n). Raises ValueError for what `Separator.feed` does not accept."""
    array = np.asarray(block)
    if array.ndim != 2 or array.shape[0] != channels:
        turned = "; transpose it: block.T" if array.ndim == 2 and array.shape[1] == channels else ""
        raise ValueError(f"block has the shape {array.shape}: expected ({channels}, n){turned}")
    return finite_float32(array, "block")


def finite_float32(samples: NDArray[np.floating], name: str) -> Float32:
    """`samples` as float32. Raises ValueError for integers, and for a sample that is NaN, infinite or absurdly large.

    `name` is the argument's, for the message.
    """
    if not np.issubdtype(samples.dtype, np.floating):
        raise ValueError(f"{name} has the type {samples.dtype}: expected floating-point samples from -1 to 1")
    samples = samples.astype(np.float32, copy=False)
    if samples.size and not np.abs(samples).max() <= LARGEST_SAMPLE:  # a NaN is not
        index = tuple(int(i) for i in np.argwhere(~(np.abs(samples) <= LARGEST_SAMPLE))[0])
        place = ", ".join(map(str, index))
        raise ValueError(f"{name}[{place}] is {samples[index]:.6g}: expected finite samples, about -1 to 1")
    return samples


def named_stems(stems: Sequence[str], channels: int, pieces: Sequence[Float32]) -> dict[str, Float32]:
    """Pieces (S, channels, n) of all stems joined: name -> (channels, m)."""
    if not pieces:
        return {stem: np.zeros((channels, 0), np.float32) for stem in stems}
    joined = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=2)
    return dict(zip(stems, joined, strict=True))
