"""The sound of a program as a live input: the player's side of `rtsep.audio.programs.watcher`."""

from __future__ import annotations

import json
import os
from types import TracebackType

from rtsep.audio.devices.discovery import Device, list_devices
from rtsep.audio.devices.sound_server import DEVICE_VARIABLES, SOUND_SERVERS, sound_server
from rtsep.audio.programs.playing import Program
from rtsep.errors import RtsepError
from rtsep.system.spawn import ChildProcess

_PREFERRED = ("pulse", "default", "pipewire")


class ProgramCapture:
    """Makes the sound server's devices, as ALSA lists them, those of a program: its sound in, its output out.

    A context manager. The program plays on as before until `take`; at the end everything is put back, also when this
    process is killed.

    Args:
        program: see `rtsep.audio.programs.playing.find_program`.

    Attributes:
        name: of the program.
        output_text: where it is heard.

    Raises RtsepError without a sound server, or without ALSA's way to it.
    """

    def __init__(self, program: Program) -> None:
        self.name = program.name
        self._child = ChildProcess("rtsep.audio.programs.watcher", {"program": program.name, "pid": os.getpid()})
        self._sink: str | None = None
        self._before = {name: os.environ.get(name) for name in DEVICE_VARIABLES.values()}
        try:
            answer = json.loads(self._child.stdout.readline() or b"{}")
            if "sink" not in answer:
                raise RtsepError(answer.get("error") or f"capturing programs failed: {self._child.wait()}")
            self._sink = str(answer["sink"])
            self.output_text: str = answer["output_text"]
            os.environ[DEVICE_VARIABLES["input"]] = f"{self._sink}.monitor"
            if answer["output"] is not None:
                os.environ[DEVICE_VARIABLES["output"]] = answer["output"]
            self.device = _server_device()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ProgramCapture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def watcher_pid(self) -> int | None:
        """Process id of the watcher while it runs."""
        return self._child.pid

    def take(self) -> None:
        """Move the program's sound, that which starts later too."""
        self._child.send({"take": True})

    def close(self) -> None:
        """Put everything back. May be called twice."""
        has_died = self._child.pid is None
        self._child.end()
        self._child.close()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if has_died and self._sink is not None:
            from rtsep.audio.programs.redirect import remove_sink  # needs pulsectl, which exists on Linux only

            with sound_server() as server:
                remove_sink(server, self._sink)


def _server_device() -> Device:
    """The device behind which ALSA has the sound server."""
    devices = {device.name: device for device in list_devices() if device.inputs and device.outputs}
    for name in _PREFERRED:
        if name in devices:
            return devices[name]
    raise RtsepError(
        f"ALSA has no device for the sound server (none of {', '.join(SOUND_SERVERS)}); "
        "Debian and Ubuntu: apt-get install libasound2-plugins"
    )
