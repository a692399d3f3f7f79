"""Stem files for DJ programs (.stem.mp4, by Native Instruments): the mixture and four stems in one MP4.

Five AAC streams, of which players play the first, the mixture; and in the box `moov/udta/stem` JSON with the name and
colour of each stem. Programs and controllers count on four stems, in the order drums, bass, other, vocals.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.files.aac import encode_aac
from rtsep.audio.files.encode import Encoding
from rtsep.audio.files.resample import StreamResampler

Float32 = NDArray[np.float32]
STREAMS = 5
_CHANNELS = 2
_COLORS = ("#009E73", "#D55E00", "#CC79A7", "#56B4E9")
# What a program does to the sum of the stems before it sounds like the mixture: nothing, since the stems sum to it.
_MASTERING = {
    "compressor": {
        **{"enabled": False, "ratio": 2.0, "attack": 0.003, "release": 0.3, "threshold": 0.0, "hp_cutoff": 300},
        **{"input_gain": 0.0, "output_gain": 0.0, "dry_wet": 50},
    },
    "limiter": {"enabled": False, "release": 0.05, "threshold": 0.0, "ceiling": 0.0},
}


def encode_stems(
    blocks: Iterable[Sequence[Float32]], file: BinaryIO, encoding: Encoding, sample_rate: int, names: Sequence[str]
) -> None:
    """Write blocks, (1 or 2, n) of the mixture and of each of the four stems `names`, to an open file, in stereo.

    Raises OSError if the disk refuses.
    """
    rate = encoding.rate_for(sample_rate)
    encode_aac(_stereo(blocks, sample_rate, rate), file, encoding.kbps, rate, _CHANNELS, STREAMS)
    stems = [{"name": name, "color": color} for name, color in zip(names, _COLORS, strict=True)]
    _add_box(file, json.dumps({"version": 1, "mastering_dsp": _MASTERING, "stems": stems}).encode())


def _stereo(blocks: Iterable[Sequence[Float32]], rate_in: int, rate_out: int) -> Iterator[list[Float32]]:
    """Blocks (2, m) of each stream at the rate of the file."""
    resampler = StreamResampler(rate_in, rate_out, STREAMS * _CHANNELS)
    for block in blocks:
        stereo = np.concatenate([np.broadcast_to(samples, (_CHANNELS, samples.shape[1])) for samples in block])
        yield np.split(resampler.push(stereo), STREAMS)
    yield np.split(resampler.flush(), STREAMS)


def _add_box(file: BinaryIO, content: bytes) -> None:
    """Add the box `stem` to `moov/udta`. FFmpeg writes `moov` last, so that no offset into the sound changes."""
    moov = _find(file, b"moov", 0, file.seek(0, os.SEEK_END))
    assert moov is not None
    start, end = moov
    file.seek(end)
    assert not file.read(1)
    udta = _find(file, b"udta", start + 8, end)
    box = _box(b"stem", content)
    if udta is None:
        at, box = end, _box(b"udta", box)
    else:
        at = udta[1]
        _grow(file, udta, len(box))
    _grow(file, moov, len(box))
    file.seek(at)
    rest = file.read()
    file.seek(at)
    file.write(box + rest)


def _find(file: BinaryIO, kind: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Beginning and end of a box between two places."""
    while start + 8 <= end:
        file.seek(start)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:  # a long one: its size follows
            size = int.from_bytes(header[8:], "big")
        if header[4:8] == kind:
            return start, start + size
        start += max(size, 8)
    return None


def _grow(file: BinaryIO, box: tuple[int, int], by: int) -> None:
    file.seek(box[0])
    file.write((box[1] - box[0] + by).to_bytes(4, "big"))


def _box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content
