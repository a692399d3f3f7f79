"""The process that decodes an upload: `python -m rtsep.web.upload_worker`, started by `rtsep.web.uploads`.

Configured by one JSON line on stdin: ``{"source": path, "song": path, "name": shown}``. It writes `song`, a FLAC file
of 24 bits at the rate of the source, and ends with 0; or it prints one line and ends with 1. Its memory, its processor
time and what it may write are limited by the system, where that is Unix.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rtsep.errors import RtsepError
from rtsep.system.child import claim_stdout, read_config
from rtsep.system.priority import lower_priority

MEMORY_BYTES = 2 * 2**30
PROCESSOR_S = 240
SONG_BYTES = 2 * 2**30
LONGEST_S = 3 * 3600
"""Of a song. A few bytes can stand for years of silence."""
BLOCK = 1 << 16


def main() -> None:
    """Read the configuration, and decode."""
    answers = claim_stdout()
    config = read_config()
    lower_priority()
    _limit()
    try:
        _decode(Path(config["source"]), Path(config["song"]), config["name"])
    except (RtsepError, MemoryError, OSError) as error:
        line = str(error) if isinstance(error, RtsepError) else f"{config['name']}: too large"
        os.write(answers, f"{line}\n".encode(errors="replace"))
        os._exit(1)
    os._exit(0)  # at once: the thread that watches stdin may be in the middle of a read


def _limit() -> None:
    if sys.platform == "win32":
        return
    import resource

    for which, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, PROCESSOR_S),
        (resource.RLIMIT_FSIZE, SONG_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(which)[1]
        resource.setrlimit(which, (most, most) if hard == resource.RLIM_INFINITY else (min(most, hard), hard))


def _decode(source: Path, song: Path, name: str) -> None:
    import soundfile

    from rtsep.audio.files.reader import open_audio

    reader = open_audio(source, allow_damaged=True)
    frames = 0
    try:
        rate = reader.sample_rate
        with soundfile.SoundFile(song, "w", min(rate, 655350), 2, "PCM_24", format="FLAC") as file:
            while (block := reader.read(BLOCK)).shape[1]:
                frames += block.shape[1]
                if frames > LONGEST_S * rate:
                    raise RtsepError(f"{name}: longer than {LONGEST_S // 3600} hours")
                file.write(block.T.clip(-1.0, 1.0))
    except soundfile.SoundFileError as error:
        raise RtsepError(f"{name}: {error}") from error
    if frames == 0:
        raise RtsepError(f"{name} has no samples")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("rtsep.web.upload_worker is started by rtsep itself and takes no arguments")
    main()
