"""AAC in MP4 by FFmpeg, one stream or several in one file: needs PyAV, the extra `aac`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.sink import Sink
from rtsep.errors import MissingPackage

Float32 = NDArray[np.float32]


def import_av(format: str) -> Any:
    """PyAV. Raises MissingPackage without it."""
    try:
        import av
    except ImportError:
        raise MissingPackage(f"writing {format} needs PyAV, which is not installed: pip install 'rtsep[aac]'") from None
    return av


def encode_aac(
    blocks: Iterable[Sequence[Float32]], file: BinaryIO, kbps: int, rate: int, channels: int, streams: int = 1
) -> None:
    """Write blocks, one (channels, n) for each stream, to an open file. A player plays the first stream.

    Raises OSError if the disk refuses.
    """
    av = import_av("AAC")
    sink = Sink(file)
    layout = "mono" if channels == 1 else "stereo"
    with av.open(sink, mode="w", format="ipod") as container:
        encoders = [container.add_stream("aac", rate=rate, layout=layout) for _ in range(streams)]
        for number, encoder in enumerate(encoders):
            encoder.bit_rate = 1000 * kbps
            encoder.disposition = av.stream.Disposition.default if number == 0 else av.stream.Disposition(0)
        position = 0
        for block in blocks:
            if not block[0].shape[1]:
                continue
            for encoder, samples in zip(encoders, block, strict=True):
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
                frame.sample_rate, frame.pts = rate, position
                container.mux(encoder.encode(frame))
            position += block[0].shape[1]
            sink.check()
        for encoder in encoders:
            container.mux(encoder.encode(None))
    sink.check()
