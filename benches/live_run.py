"""A live player in a process of its own, which prints its counters as lines of JSON.

It runs `LivePlayer` on real streams, as `rtsep live` does. In its own process the benchmark disturbs it less, and its
memory can be measured.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from benches.report import REPOSITORY
from rtsep.errors import RtsepError

READY_LIMIT_S = 180.0
END_LIMIT_S = 30.0


class LiveRun:
    """A running player, as a context manager.

    Args:
        environment: of the process; determines which devices it sees.
        given, taken: input and output, as `--input` and `--output` name them.
        interval_s: time between two reports.
        options: `block`, and what `LivePlayer` takes: model, chunk.
        muted: a stem to mute.

    Attributes:
        reports: the fields of `rtsep live --json`, and `monotonic_s`, `hop_times_us`, `player_mib`, `worker_mib`; and
            `news`, the messages that a user would have seen since the report before.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        given: str,
        taken: str,
        *,
        block: int,
        chunk: int = 1,
        model: str | None = None,
        muted: str | None = None,
        interval_s: float = 1.0,
    ) -> None:
        config = {"given": given, "taken": taken, "block": block, "chunk": chunk, "model": model, "muted": muted}
        paths = [str(REPOSITORY), *filter(None, [environment.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benches.live_run", json.dumps(config | {"interval_s": interval_s})],
            env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # control-C ends the measurement, which then ends the player
        )
        self._heard = threading.Condition()
        self.reports: list[dict[str, Any]] = []
        self._error: str | None = None
        self._over = False
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def __enter__(self) -> LiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self, count: int = 1, limit_s: float = READY_LIMIT_S) -> dict[str, Any]:
        """Wait until there are `count` reports; the last one. RtsepError if the player ended or takes too long."""
        deadline = time.monotonic() + limit_s
        with self._heard:
            while len(self.reports) < count:
                if self._error is not None or self._over:
                    raise RtsepError(self._error or "the player ended too early")
                if not self._heard.wait(deadline - time.monotonic()):
                    raise RtsepError(f"the player did not report for {limit_s:.0f} s")
            return self.reports[-1]

    def close(self) -> None:
        """End the player; kill it if it does not end by itself. May be called twice."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                told = json.loads(line)
                with self._heard:
                    if "error" in told:
                        self._error = told["error"]
                    else:
                        self.reports.append(told)
                    self._heard.notify_all()
        with self._heard:
            self._over = True
            self._heard.notify_all()


def constant_model(folder: Path) -> str:
    """A model with constant masks: with one stem muted, separated sound has half the level, and dry sound has not."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(
        'name = "halves"\nnetwork = "rtsep.nn.constant:ConstantMask"\nstems = ["vocals", "instrumental"]\n'
        "[net]\ngains = [0.5, 0.5]\n"
    )
    return str(folder)


def main() -> None:
    """Be the player, until stdin ends."""
    from rtsep.audio.devices.discovery import find_device
    from rtsep.audio.streams.live_stream import LiveStream
    from rtsep.cli.output.notifications import Notifications
    from rtsep.cli.session.playback_report import live_report
    from rtsep.player.device_keeper import Side
    from rtsep.player.live_player import LivePlayer
    from rtsep.system.native_output import libraries_silenced

    config = json.loads(sys.argv[1])
    try:
        with libraries_silenced():
            given, taken = find_device(config["given"], "input"), find_device(config["taken"], "output")
            with LivePlayer(
                lambda shared, given, taken: LiveStream(shared, given, taken, config["block"]),
                *(Side(given, "input"), Side(taken, "output")),
                model=config["model"],
                chunk=config["chunk"],
                allow_feedback=True,
            ) as player:
                if config["muted"] is not None:
                    player.set_gain(config["muted"], float("-inf"))
                player.open()
                counted = player.shared.worker.hops
                news = Notifications(player.notices)
                while True:
                    hops, times = player.shared.worker.hops, player.shared.worker.recent_times()
                    status = player.status()
                    told = live_report(status, player.engine, given.name, taken.name, status.notices) | {
                        "monotonic_s": time.monotonic(),
                        "news": news.look(status.messages, player.engine.notices, time.monotonic()),
                        "hop_times_us": times[len(times) - min(hops - counted, len(times)) :]
                        .round()
                        .astype(int)
                        .tolist(),
                        "player_mib": _resident_mib(os.getpid()),
                        "worker_mib": _resident_mib(player.engine.worker_pid),
                    }
                    counted = hops
                    print(json.dumps(told), flush=True)
                    if select.select([sys.stdin], [], [], config["interval_s"])[0]:
                        return
    except RtsepError as error:
        print(json.dumps({"error": str(error)}), flush=True)


def _resident_mib(pid: int | None) -> float | None:
    import psutil

    try:
        return None if pid is None else round(psutil.Process(pid).memory_info().rss / 2**20, 1)
    except psutil.NoSuchProcess:
        return None


if __name__ == "__main__":
    main()
