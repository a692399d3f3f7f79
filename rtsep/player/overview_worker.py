"""The process that decodes a song for its overview: `python -m rtsep.player.overview_worker`.

`rtsep.player.overview` starts it, and configures it by one JSON line on stdin: ``{"song": path}``. It answers with JSON
lines on stdout; after those with `columns` follow so many columns, float32 (n, 3):

    {"title": "...", "artist": "..."}
    {"columns": 256}
    {"error": "..."}                 the song could not be opened, or not be decoded to its end

It runs at low priority, and ends when stdin does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rtsep.audio.files.tags import Tags, read_tags
from rtsep.errors import RtsepError
from rtsep.player.overview import COLUMN, Float32
from rtsep.player.queue.song import Song
from rtsep.system.child import claim_stdout, read_config, send_message
from rtsep.system.priority import lower_priority

BATCH = 256
"""Columns of a message: six seconds of a song."""


def main() -> None:
    """Read the configuration and send all columns of the song."""
    answers = claim_stdout()
    config = read_config()
    lower_priority()
    try:
        song = Song(config["song"])
        send_message(answers, _tags(song.path))
        for columns in measure(song):
            send_message(answers, {"columns": len(columns)}, columns.tobytes())
        if song.messages:
            send_message(answers, {"error": song.messages[-1]})
    except RtsepError as error:
        send_message(answers, {"error": str(error)})
    os._exit(0)  # at once: the thread that watches stdin may be in the middle of a read


def _tags(path: Path) -> dict[str, str]:
    """Title and artist; empty where there are none, or damaged ones."""
    try:
        tags = read_tags(path)
    except RtsepError:
        tags = Tags()
    return {"title": tags.first("title"), "artist": tags.first("artist")}


def measure(song: Song) -> Iterator[Float32]:
    """Columns (n, 3) of a song from its beginning, up to `BATCH` at a time; the last one may cover fewer samples."""
    song.seek(0)
    while (block := song.read(BATCH * COLUMN)).shape[1]:
        whole = block.shape[1] // COLUMN * COLUMN
        parts = [block[:, :whole].reshape(2, -1, COLUMN), block[:, None, whole:]]
        yield np.concatenate([_columns(part) for part in parts if part.size])


def _columns(samples: Float32) -> Float32:
    """Lowest, highest and RMS of samples (2, n, width): (n, 3)."""
    rms = np.sqrt(np.mean(np.square(samples, dtype=np.float64), axis=(0, 2)))
    return np.stack([samples.min(axis=(0, 2)), samples.max(axis=(0, 2)), rms], axis=1).astype(np.float32)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("rtsep.player.overview_worker is started by rtsep itself and takes no arguments")
    main()
