"""TensorFlow checkpoints made for tests, byte by byte: what TensorFlow's own writer does, and mistakes on request."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtsep.convert.formats.crc32c import masked_crc32c

MAGIC = 0xDB4775248B80FB57
RESTART_INTERVAL = 16
DTYPES = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}

Variables = dict[str, np.ndarray]


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | bytes) -> bytes:
    """A protocol-buffer field: an integer as varint, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def checksum(data: bytes) -> bytes:
    return masked_crc32c(np.frombuffer(data, np.uint8)).to_bytes(4, "little")


def block(entries: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    out, restarts, last = bytearray(), [0], b""
    for index, (key, value) in enumerate(entries):
        shared = 0
        if index % RESTART_INTERVAL:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        elif index:
            restarts.append(len(out))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    for number in (*restarts, len(restarts)):
        out += number.to_bytes(4, "little")
    body = bytes(out) + bytes([compression])
    return body + checksum(body)


def table(entries: list[tuple[bytes, bytes]], block_entries: int = 21, compression: int = 0) -> bytes:
    """A sorted table of blocks of so many entries."""
    file, index = bytearray(), []
    for first in range(0, len(entries), block_entries):
        part = entries[first : first + block_entries]
        stored = block(part, compression)
        index.append((part[-1][0], varint(len(file)) + varint(len(stored) - 5)))
        file += stored
    footer = b""
    for stored in (block([]), block(index)):
        footer += varint(len(file)) + varint(len(stored) - 5)
        file += stored
    return bytes(file) + footer.ljust(40, b"\0") + MAGIC.to_bytes(8, "little")


def entry(array: np.ndarray, offset: int, extra: bytes = b"") -> bytes:
    """A BundleEntryProto; zeros are left out, as always."""
    shape = b"".join(field(2, field(1, size)) for size in array.shape)
    data = array.tobytes()
    out = field(1, DTYPES[array.dtype.name]) + field(2, shape)
    out += (field(4, offset) if offset else b"") + field(5, len(data))
    return out + varint(6 << 3 | 5) + checksum(data) + extra


def write_checkpoint(folder: Path, variables: Variables, name: str = "model", **how: int) -> Path:
    """Write NAME.index and NAME.data-00000-of-00001 and return the prefix; `how` is for `table`."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [(b"", field(1, 1) + field(3, field(1, 1)))]
    offset = 0
    with (folder / f"{name}.data-00000-of-00001").open("wb") as data:
        for key in sorted(variables):
            entries.append((key.encode(), entry(variables[key], offset)))
            offset += data.write(variables[key].tobytes())
    (folder / f"{name}.index").write_bytes(table(entries, **how))
    return folder / name
