"""The end of `rtsep ui`: control-C, pressed in a hurry."""

from __future__ import annotations

import signal
import subprocess
import sys
import time


def test_control_c_pressed_twice_ends_it_without_a_traceback() -> None:
    command = [sys.executable, "-m", "rtsep", "ui", "--no-browser", "--listen", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as player:
        assert player.stderr is not None
        assert "page at http://127.0.0.1:" in player.stderr.readline()
        time.sleep(0.5)  # it waits for a song now
        for _ in range(2):
            player.send_signal(signal.SIGINT)
        assert "Traceback" not in player.communicate(timeout=60)[1]
        assert player.returncode == 130
