"""The process that separates songs before they are played: `python -m rtsep.player.ahead.worker`.

`rtsep.player.ahead.engine` starts it and configures it by one JSON line on stdin; further lines add songs. It reads
JSON lines from its stdout, and after those with `samples` the stems, float32 (samples, stems times channels):

    {"ready": {"compute": "cpu", "latency_samples": 343980}}
    {"song": 0}                      started: from now on it computes
    {"song": 0, "samples": 257985}   the number of samples that follow
    {"song": 0, "complete": true}    the end of the song; with "error" if not all of it could be separated
    {"error": "..."}                 the end

It runs at low priority, and ends when stdin does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from rtsep.errors import RtsepError
from rtsep.player.queue.song import Float32, Song
from rtsep.system.allocator import keep_freed_memory
from rtsep.system.child import claim_stdout, read_config, send_message
from rtsep.system.guarded_thread import describe
from rtsep.system.priority import lower_priority

if TYPE_CHECKING:
    from rtsep.separation.separator import Separator

BLOCK = 32768


def main() -> None:
    """Read the configuration and separate all songs."""
    answers = claim_stdout()
    songs: SimpleQueue[str] = SimpleQueue()
    config = read_config(lambda message: _put(songs, message))
    _put(songs, config)
    lower_priority()
    keep_freed_memory()
    try:
        _separate(config, songs, answers)
    except Exception as error:
        send_message(answers, {"error": str(error) if isinstance(error, RtsepError) else describe(error)})
        os._exit(1)


def _put(songs: SimpleQueue[str], message: dict[str, Any]) -> None:
    for path in message["songs"]:
        songs.put(path)


def _separate(config: dict[str, Any], songs: SimpleQueue[str], answers: int) -> None:
    from rtsep.separation.load import load

    separator = load(config["model"], device=config["compute"], mask_extension=config["mask_extension"])
    ready = {"compute": config["compute"], "latency_samples": separator.latency_samples}
    send_message(answers, {"ready": ready})
    for number in count():
        path = songs.get()  # waits for ever: the process ends with stdin
        end: dict[str, Any] = {"song": number, "complete": True}
        try:
            with closing(Song(path)) as song:
                if separator.learns:
                    separator.learn(_blocks(song))
                send_message(answers, {"song": number})
                for stems in _stems(separator, song):
                    send_message(answers, {"song": number, "samples": len(stems)}, stems.tobytes())
        except RtsepError as error:  # the next one may be better
            separator.reset()
            end["error"] = f"{path}: {error}"
        send_message(answers, end)


def _stems(separator: Separator, song: Song) -> Iterator[Float32]:
    """All stems of a song (n, rows), as they come."""
    for block in _blocks(song):
        yield _side_by_side(separator.feed(block))
    yield _side_by_side(separator.flush())


def _side_by_side(stems: dict[str, Float32]) -> Float32:
    return np.concatenate(list(stems.values())).T


def _blocks(song: Song) -> Iterator[Float32]:
    song.seek(0)
    while (block := song.read(BLOCK)).shape[1]:
        yield block


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("rtsep.player.ahead.worker is started by rtsep itself and takes no arguments")
    main()
