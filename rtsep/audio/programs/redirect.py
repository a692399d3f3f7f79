"""Takes the sound of a program, or of all, to a sink that nobody hears, and puts it back.

The state of the server is all there is: a stream belongs to us while it is on our sink. So what the user moves
elsewhere meanwhile stays there, and putting back works whatever has happened before.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Any

import pulsectl

from rtsep.audio.programs.playing import ALL, is_program, stream_name

SINK = "rtsep_app_{pid}"
_SINK_OF = re.compile(r"sink_name=rtsep_app_(\d+)\b")
_FORM = "rate=44100 channels=2 format=float32le"
# With rewinds PulseAudio calls whoever records the sink a fraction of the time. Older servers don't know the word.
_FORMS = (f"{_FORM} norewinds=1", _FORM)


class Redirect:
    """A silent sink, and the streams that are moved to it.

    Args:
        server: a `pulsectl.Pulse` that is connected.
        program: name of the program, or `ALL`.
        pid: of the player, whose own streams are never taken.

    Attributes:
        output: name of the sink where the program is heard without us; None if that is the default one, which the user
            may change meanwhile.
        output_text: its description.
    """

    def __init__(self, server: Any, program: str, pid: int) -> None:
        self._server, self._program, self._pid = server, program, pid
        self._homes: dict[int, str | None] = {}
        """Index of a stream that was taken -> the sink where it was, None for the default one."""
        self._has_taken = False
        remove_abandoned(server)
        self._default = server.server_info().default_sink_name
        sinks = {sink.index: sink for sink in server.sink_list()}
        used = [sinks[stream.sink] for stream in self._streams() if stream.sink in sinks]
        heard = used[0] if used and program != ALL else server.get_sink_by_name(self._default)
        self.output = heard.name if program == ALL or heard.name != self._default else None
        self.output_text: str = heard.description
        self._module = self._load(SINK.format(pid=pid))
        self._sink = server.get_sink_by_name(SINK.format(pid=pid))

    def take(self) -> int:
        """Move streams that are not on the sink yet, and make it the default one for all; returns how many moved."""
        if self._program == ALL and not self._has_taken:
            self._server.sink_default_set(self._sink.name)
        self._has_taken = True
        sinks = {sink.index: sink.name for sink in self._server.sink_list()}
        moved = 0
        for stream in self._streams():
            # One that was taken before and isn't here now was moved away by the user.
            if stream.sink != self._sink.index and stream.index not in self._homes:
                home = sinks.get(stream.sink)
                self._homes[stream.index] = None if home == self._default else home
                moved += self._move(stream.index, self._sink.index)
        return moved

    def place_player(self) -> None:
        """Move the player's own streams if the server has put them elsewhere than they asked for.

        ALSA's plug for PipeWire doesn't read the variables that name the devices.
        """
        for stream in self._server.source_output_list():
            if self._is_player(stream) and stream.source != self._sink.monitor_source:
                with suppress(pulsectl.PulseOperationFailed):
                    self._server.source_output_move(stream.index, self._sink.monitor_source)
        for stream in self._server.sink_input_list():
            if self._is_player(stream) and stream.sink == self._sink.index:  # would hear itself
                self._move(stream.index, self._index(self.output))

    def undo(self) -> None:
        """Put everything back, streams and default sink, and remove our sink."""
        ours = [stream.index for stream in self._server.sink_input_list() if stream.sink == self._sink.index]
        # The server moves streams from one default sink to the next, so those with a place of their own come first.
        for stream in ours:
            if (home := self._homes.get(stream)) is not None:
                self._move(stream, self._index(home))
        if self._is_default(self._sink.name):
            with suppress(pulsectl.PulseOperationFailed):
                self._server.sink_default_set(self._default)
        for stream in ours:
            if self._homes.get(stream) is None:
                self._move(stream, self._index(None))
        _unload(self._server, self._module)

    # -- how ----------------------------------------------------------------------------------------------------

    def _streams(self) -> list[Any]:
        """Those of the program."""
        return [
            stream
            for stream in self._server.sink_input_list()
            if is_program(stream, self._pid) and self._program in (ALL, stream_name(stream))
        ]

    def _load(self, name: str) -> int:
        text = "every program" if self._program == ALL else "".join(re.findall(r"[\w .-]", self._program))
        properties = f"sink_properties=\"device.description='rtsep separates {text}'\""
        for form in _FORMS[:-1]:
            with suppress(pulsectl.PulseError):
                return self._server.module_load("module-null-sink", f"sink_name={name} {form} {properties}")
        return self._server.module_load("module-null-sink", f"sink_name={name} {_FORMS[-1]} {properties}")

    def _is_default(self, name: str) -> bool:
        return self._server.server_info().default_sink_name == name

    def _is_player(self, stream: Any) -> bool:
        return stream.proplist.get("application.process.id") == str(self._pid)

    def _index(self, name: str | None) -> int:
        """Index of a sink, of the default one if it is gone or None."""
        sinks = {sink.name: sink.index for sink in self._server.sink_list()}
        default = self._server.server_info().default_sink_name
        return sinks.get(name or default, sinks.get(default, self._sink.index))

    def _move(self, stream: int, sink: int) -> bool:
        """False if it has ended meanwhile, or must not be moved."""
        with suppress(pulsectl.PulseOperationFailed):
            self._server.sink_input_move(stream, sink)
            return True
        return False


def remove_abandoned(server: Any) -> None:
    """Remove the sinks of players that no longer run."""
    for module in server.module_list():
        match = _SINK_OF.search(module.argument or "")
        if match is not None and not os.path.exists(f"/proc/{match[1]}"):
            _unload(server, module.index)


def remove_sink(server: Any, name: str) -> None:
    """Remove a sink whose watcher has died; the server moves what is on it to the default sink."""
    for module in server.module_list():
        if f"sink_name={name} " in (module.argument or ""):
            _unload(server, module.index)


def _unload(server: Any, module: int) -> None:
    with suppress(pulsectl.PulseOperationFailed):
        server.module_unload(module)
