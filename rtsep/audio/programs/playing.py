"""Programs that play now, as the sound server lists them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtsep.audio.devices.sound_server import sound_server
from rtsep.errors import RtsepError

ALL = "all"
"""The name that stands for every program."""
_NAMES = ("application.name", "application.process.binary", "media.name")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that plays. `binary`: its file; `titles`: what its streams are called; `outputs`: where they play."""

    name: str
    binary: str
    titles: tuple[str, ...]
    outputs: tuple[str, ...]


def list_programs() -> list[Program]:
    """The programs that play now, without this one, by name. RtsepError without a sound server."""
    with sound_server() as server:
        sinks = {sink.index: sink.description for sink in server.sink_list()}
        programs: dict[str, Program] = {}
        for stream in server.sink_input_list():
            if not is_program(stream, os.getpid()):
                continue
            name = stream_name(stream)
            known = programs.get(name, Program(name, stream.proplist.get(_NAMES[1], ""), (), ()))
            titles = dict.fromkeys([*known.titles, stream.proplist.get(_NAMES[2], stream.name)])
            outputs = dict.fromkeys([*known.outputs, sinks.get(stream.sink, "")])
            programs[name] = Program(name, known.binary, tuple(titles), tuple(outputs))
    return sorted(programs.values(), key=lambda program: program.name.casefold())


def find_program(wanted: str) -> Program:
    """The one program whose name, or whose file's, is or contains `wanted`; `all` stands for every program.

    RtsepError when nothing or several match, with a list of them.
    """
    if wanted == ALL:
        return Program(ALL, "", (), ())
    programs = list_programs()
    for matches in (lambda name: name == wanted.casefold(), lambda name: wanted.casefold() in name):
        found = [one for one in programs if matches(one.name.casefold()) or matches(one.binary.casefold())]
        if len(found) == 1:
            return found[0]
        if found:
            raise RtsepError(f'"{wanted}" matches several programs; use a longer name: {_list(found)}')
    raise RtsepError(f'no program called "{wanted}" plays now; playing: {_list(programs)}. Start it, then try again')


def stream_name(stream: Any) -> str:
    """Name of the program that a stream of the server (`PulseSinkInputInfo`) belongs to."""
    return next((stream.proplist[key] for key in _NAMES if stream.proplist.get(key)), stream.name)


def is_program(stream: Any, player_pid: int) -> bool:
    """Whether a stream is a program's: not the server's own (a loopback module's), nor that of the player itself."""
    no_client = 0xFFFFFFFF
    return stream.client != no_client and stream.proplist.get("application.process.id") != str(player_pid)


def _list(programs: Sequence[Program]) -> str:
    return ", ".join(program.name for program in programs) or "none"
