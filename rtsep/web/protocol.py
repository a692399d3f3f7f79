"""The messages between server and page: what is sent, how what comes is checked, and their documentation.

docs/remote.md describes them; its table of commands is `commands_markdown`.
"""

from __future__ import annotations

import struct
from typing import Any, Union

import msgspec
import numpy as np

from rtsep.control.commands.base import Command
from rtsep.control.state import QueuedSong, State, as_json
from rtsep.control.table import COMMANDS, LIVE_KEYS, PLAY_KEYS
from rtsep.player.spectrum import BANDS, FLOOR_DB, Columns
from rtsep.timebase import SAMPLE_RATE

VERSION = 1
"""Of the messages. Raised when one changes its meaning or disappears; new fields and commands do not raise it."""
LONGEST_MESSAGE = 4096
"""Bytes of a message from a page or program."""

_decoder = msgspec.json.Decoder(Union[COMMANDS])  # noqa: UP007 - from a tuple
_encoder = msgspec.json.Encoder()
SPECTRUM_HEADER = struct.Struct("<qHHI")
"""Before the bytes of a spectrum message: stream position of its first column, sources, bands, columns."""


def read_command(text: str) -> Command:
    """The command in a message; msgspec.DecodeError, of which ValidationError is one, for anything else."""
    if len(text) > LONGEST_MESSAGE:
        raise msgspec.ValidationError(f"message of {len(text)} characters, expected at most {LONGEST_MESSAGE}")
    return _decoder.decode(text)


def hello(live: bool, output: str) -> str:
    """The first message. `output`: "device" or "browser", where the sound is heard."""
    table = LIVE_KEYS if live else PLAY_KEYS
    keys = [
        {
            "shown": binding.shown,
            "text": binding.text,
            "commands": {key: msgspec.to_builtins(binding.command(key)) for key in binding.keys},
        }
        for binding in table.bindings
    ]
    return _text(type="hello", version=VERSION, live=live, output=output, sample_rate=SAMPLE_RATE, keys=keys)


def waiting(text: str) -> str:
    """There is no player yet, and why."""
    return _text(type="waiting", text=text)


def state_message(state: State) -> str:
    """The state of the player."""
    return f'{{"type":"state","state":{as_json(state).decode()}}}'


def queue_message(songs: list[QueuedSong]) -> str:
    """The songs of the queue, in their order."""
    return _text(type="queue", songs=songs)


def devices_message(outputs: list[str], inputs: list[str]) -> str:
    """Names of the sound devices."""
    return _text(type="devices", outputs=outputs, inputs=inputs)


def error_message(text: str) -> str:
    """What was asked cannot be done."""
    return _text(type="error", text=text)


def spectrum_message(columns: Columns) -> bytes:
    """Columns as bytes: 0 is `FLOOR_DB` and below, 255 is 0 dB."""
    levels = np.nan_to_num(columns.levels_db, nan=FLOOR_DB)
    scaled = np.clip((levels - FLOOR_DB) * (255 / -FLOOR_DB), 0, 255).astype(np.uint8)
    count, sources, _ = scaled.shape
    return SPECTRUM_HEADER.pack(columns.begin, sources, BANDS, count) + scaled.tobytes()


def commands_markdown() -> str:
    """The table of commands for docs/remote.md."""
    lines = ["| command | fields | what it does | live |", "|---|---|---|---|"]
    for command in COMMANDS:
        fields = ", ".join(_field(field) for field in msgspec.structs.fields(command))
        lines.append(f"| `{command.name()}` | {fields} | {command.text()} | {'yes' if command.live else ''} |")
    return "\n".join(lines)


def _field(field: msgspec.structs.FieldInfo) -> str:
    optional = "" if field.required else f" = {msgspec.json.encode(field.default).decode()}"
    return f"`{field.encode_name}`{optional}"


def _text(**fields: Any) -> str:
    return _encoder.encode(fields).decode()
