"""The process that takes a program's sound and puts it back: `python -m rtsep.audio.programs.watcher`.

It outlives a player that is killed: end of file on stdin is all it needs to know. `rtsep.audio.programs.capture` starts
it and configures it by one JSON line, `{"program": "Firefox", "pid": 4711}`; a second line, `{"take": true}`, moves the
program's sound. It answers on stdout:

    {"sink": "rtsep_app_4711", "output": null, "output_text": "Built-in Audio"}
    {"error": "..."}               no sound server, at the start

When the server dies, it does the same on the next one.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from typing import Any

from rtsep.audio.devices.sound_server import sound_server
from rtsep.audio.programs.redirect import SINK, Redirect
from rtsep.errors import RtsepError
from rtsep.system.child import claim_stdout, send_message
from rtsep.system.guarded_thread import describe

LOOK_S = 0.2
"""How long the end of the player may go unnoticed; new streams are noticed at once."""
RETRY_S = 0.5


class Watcher:
    """Runs until stdin ends. `answers`: descriptor of the answers."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._orders = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - a buffer's lock would outlive us
        self._config: dict[str, Any] = json.loads(self._orders.readline() or b"{}")
        self._has_answered = False
        self._taking, self._ended = threading.Event(), threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: self._ended.set())  # the session ends
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while self._orders.readline():
            self._taking.set()
        self._ended.set()

    def run(self) -> None:
        """Redirect on one server after the other. RtsepError if there is none at first."""
        while not self._ended.is_set():
            try:
                with sound_server() as server:
                    self._redirect(server)
            except Exception:  # whatever a dying server does to libpulse: the next one is waited for
                if not self._has_answered:
                    raise
            self._ended.wait(RETRY_S)

    def _redirect(self, server: Any) -> None:
        redirect = Redirect(server, self._config["program"], self._config["pid"])
        try:
            if not self._has_answered:
                sink = SINK.format(pid=self._config["pid"])
                answer = {"sink": sink, "output": redirect.output, "output_text": redirect.output_text}
                send_message(self._answers, answer)
                self._has_answered = True
            server.event_mask_set("sink_input", "source_output")
            server.event_callback_set(self._stop_listening)
            while not self._ended.is_set():
                if self._taking.is_set():
                    redirect.take()
                redirect.place_player()
                server.event_listen(LOOK_S)
        finally:
            if server.connected:
                redirect.undo()

    @staticmethod
    def _stop_listening(event: Any) -> None:
        import pulsectl

        if event.t == "new":
            raise pulsectl.PulseLoopStop


def main() -> None:
    """Run; what goes wrong at the start is the last answer."""
    answers = claim_stdout()
    try:
        Watcher(answers).run()
    except Exception as error:
        send_message(answers, {"error": str(error) if isinstance(error, RtsepError) else describe(error)})
        sys.exit(1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("rtsep.audio.programs.watcher is started by rtsep itself and takes no arguments")
    main()
