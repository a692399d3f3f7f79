"""A process that separates songs of a batch: `python -m rtsep.batch.worker`.

`rtsep.batch.parallel` starts it, configures it by one JSON line on stdin, and sends a line for each task. It
answers on stdout:

    {"progress": [44100, 882000]}    samples done and in all, null while that is unknown
    {"written": {...}}               the end of a song
    {"error": "..."}                 a song that failed
    {"end": "...", "code": 1}        no song can be separated

When stdin ends it removes what it has half-written, and ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn

import msgspec

from rtsep.batch.outcome import EndOfRun
from rtsep.batch.song_work import Settings, separate_song
from rtsep.batch.tasks import Task
from rtsep.errors import RtsepError
from rtsep.system.allocator import keep_freed_memory
from rtsep.system.child import claim_stdout, send_message


def main() -> None:
    """Separate the songs that come on stdin, until it ends."""
    answers = claim_stdout()
    signal.signal(signal.SIGTERM, _leave)
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    config = json.loads(lines.get())
    keep_freed_memory()
    try:
        while True:
            send_message(answers, _do(json.loads(lines.get()), config, answers))
    except EndOfRun as end:
        send_message(answers, {"end": str(end), "code": end.error.exit_code})


def _do(message: dict[str, Any], config: dict[str, Any], answers: int) -> dict[str, Any]:
    """The answer to a task."""
    settings = msgspec.convert(config["settings"], Settings)
    outputs = {stem: Path(path) for stem, path in message["outputs"].items()}
    task = Task(Path(message["song"]), outputs, message["is_copied"], message["error"], message["url"])
    try:
        written = separate_song(
            task,
            settings,
            config["compute"],
            skip_existing=config["skip_existing"],
            threads=1,
            progress=lambda done, total: send_message(answers, {"progress": [done, total]}),
        )
    except RtsepError as error:
        return {"error": str(error)}
    return {"written": asdict(written) | {"paths": [str(path) for path in written.paths]}}


def _read(lines: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(number: int, frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


if __name__ == "__main__":
    main()
