"""TensorFlow V2 checkpoints, read without TensorFlow: PREFIX.index and PREFIX.data-00000-of-00001.

The index is a sorted table in LevelDB's format. A footer of 48 bytes at its end points to the block of block handles,
these to blocks of entries, in which a key leaves out the prefix it shares with the key before. The value of the empty
key is a BundleHeaderProto, every other value a BundleEntryProto: data type, shape, and the variable's data file and
offset. Variables are plain little-endian arrays. Every block and every variable has a masked CRC-32C, and all of them
are verified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.convert.formats.crc32c import masked_crc32c
from rtsep.errors import RtsepError

_FOOTER_BYTES = 48
_MAGIC = 0xDB4775248B80FB57
_TRAILER_BYTES = 5  # of a block: kind of compression, checksum
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}


class _Damaged(ValueError):
    """The index is damaged; the text says how."""


@dataclass(frozen=True)
class _Entry:
    """A variable: number of its data type, shape, location and masked checksum of its bytes."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    sliced: bool


class TensorFlowCheckpoint:
    """The variables of a checkpoint by name; each is read and verified on request.

    Args:
        prefix: the path of the index without its `.index`.
    Raises RtsepError if the index is missing, damaged or of an unsupported kind.

    Attributes:
        shapes: of every variable, by name, sorted.
    """

    def __init__(self, prefix: Path) -> None:
        self.path = prefix.with_name(prefix.name + ".index")
        try:
            values = dict(_table(self.path.read_bytes()))
            header = _message(values.pop(b""))
            self._shards = _number(header, 1)
            if _number(header, 2) != 0:
                raise _Damaged("its numbers are big-endian, which is not supported")
            self._entries = {key.decode(): _entry(value) for key, value in values.items()}
        except OSError as error:
            raise RtsepError(f"cannot read {self.path}: {error.strerror}") from error
        except KeyError:
            raise RtsepError(f"{self.path} is not a TensorFlow checkpoint: its table has no header") from None
        except (_Damaged, UnicodeDecodeError) as error:
            raise RtsepError(f"{self.path} is damaged or not a TensorFlow checkpoint: {error}") from error
        self.shapes = {name: entry.shape for name, entry in self._entries.items()}
        self._prefix = prefix

    def read(self, name: str) -> NDArray[np.generic]:
        """The variable of that name. Raises RtsepError if it is missing or damaged."""
        entry = self._entries.get(name)
        if entry is None:
            raise RtsepError(f"{self.path} has no variable {name}")
        if entry.dtype not in _DTYPES or entry.sliced:
            kind = "stored in slices" if entry.sliced else f"of TensorFlow's data type {entry.dtype}"
            raise RtsepError(f"{self.path}: {name} is {kind}, which is not supported")
        dtype = np.dtype(_DTYPES[entry.dtype])
        data = self._prefix.with_name(f"{self._prefix.name}.data-{entry.shard:05d}-of-{self._shards:05d}")
        if entry.size != prod(entry.shape) * dtype.itemsize:
            raise RtsepError(f"{self.path} is damaged: {name} has {entry.size} bytes for the shape {entry.shape}")
        try:
            if data.stat().st_size < entry.offset + entry.size:
                raise RtsepError(f"{data} is truncated before the end of {name}: download it again")
            content = np.fromfile(data, np.uint8, entry.size, offset=entry.offset)
        except OSError as error:
            raise RtsepError(f"cannot read {data}: {error.strerror}") from error
        if masked_crc32c(content) != entry.checksum:
            raise RtsepError(f"{data} is damaged: the checksum of {name} is wrong; download it again")
        return content.view(dtype).reshape(entry.shape)


def find_checkpoint(folder: Path) -> Path:
    """The prefix of a folder's checkpoint: the one its file `checkpoint` names, else the only one.

    Raises RtsepError if there is none, or several.
    """
    found = sorted(path.with_suffix("") for path in folder.glob("*.index"))
    if (folder / "checkpoint").is_file():
        text = (folder / "checkpoint").read_text(encoding="utf-8", errors="replace")
        named = re.search(r'^model_checkpoint_path:\s*"([^"]*)"', text, re.MULTILINE)
        # Its name alone: the path is where the folder was during training.
        found = [prefix for prefix in found if named and prefix.name == Path(named[1]).name] or found
    if len(found) != 1:
        several = f"several TensorFlow checkpoints ({', '.join(path.name for path in found)})"
        raise RtsepError(f"{folder} holds {several if found else 'no TensorFlow checkpoint (NAME.index)'}")
    return found[0]


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every key and value of a sorted table."""
    footer = content[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != _MAGIC:
        raise _Damaged("it has no footer")
    filters, at = _handle(footer, 0)
    index, _ = _handle(footer, at)
    if any(_block(content, filters)):
        raise _Damaged("it has filters, which TensorFlow never writes")
    for _, value in _block(content, index):
        yield from _block(content, _handle(value, 0)[0])


def _block(content: bytes, place: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    offset, size = place
    stored = content[offset : offset + size + _TRAILER_BYTES]
    if len(stored) < size + _TRAILER_BYTES or size < 4:
        raise _Damaged("it is truncated")
    checksum = int.from_bytes(stored[-4:], "little")
    if masked_crc32c(np.frombuffer(stored[:-4], np.uint8)) != checksum:
        raise _Damaged("a checksum is wrong; download it again")
    if stored[size] != 0:
        raise _Damaged("its index is compressed, which is not supported")
    restarts = int.from_bytes(stored[size - 4 : size], "little")
    entries = stored[: max(size - 4 - 4 * restarts, 0)]
    at, key = 0, b""
    while at < len(entries):
        shared, at = _varint(entries, at)
        added, at = _varint(entries, at)
        length, at = _varint(entries, at)
        if shared > len(key) or at + added + length > len(entries):
            raise _Damaged("an entry of its index reaches beyond its block")
        key = key[:shared] + entries[at : at + added]
        at += added + length
        yield key, entries[at - length : at]


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """((offset, size) of a block, end of the handle)."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(number, its end): seven bits in each byte, lowest first."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _Damaged("a number in its index does not end")
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


_Message = dict[int, list[int | bytes]]


def _message(data: bytes) -> _Message:
    """The fields of a protocol-buffer message by number: integers, or bytes for text and messages."""
    fields: _Message = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        value: int | bytes
        if wire_type == 0:
            value, at = _varint(data, at)
        else:
            if wire_type == 2:
                size, at = _varint(data, at)
            elif wire_type in (1, 5):
                size = 8 if wire_type == 1 else 4
            else:
                raise _Damaged("an entry of its index is not a protocol-buffer message")
            value = data[at : at + size]
            at += size
            if at > len(data):
                raise _Damaged("an entry of its index is truncated")
            if wire_type != 2:
                value = int.from_bytes(value, "little")
        fields.setdefault(number, []).append(value)
    return fields


def _number(message: _Message, field: int) -> int:
    """The field's last integer; 0, the default of protocol buffers, if it is missing."""
    value = message.get(field, [0])[-1]
    if not isinstance(value, int):
        raise _Damaged("an entry of its index has bytes where a number belongs")
    return value


def _messages(message: _Message, field: int) -> list[_Message]:
    values = message.get(field, [])
    if not all(isinstance(value, bytes) for value in values):
        raise _Damaged("an entry of its index has a number where a message belongs")
    return [_message(value) for value in values if isinstance(value, bytes)]


def _entry(data: bytes) -> _Entry:
    fields = _message(data)
    dimensions = [size for shape in _messages(fields, 2) for size in _messages(shape, 2)]
    return _Entry(
        dtype=_number(fields, 1),
        shape=tuple(_number(size, 1) for size in dimensions),
        shard=_number(fields, 3),
        offset=_number(fields, 4),
        size=_number(fields, 5),
        checksum=_number(fields, 6),
        sliced=7 in fields,
    )
