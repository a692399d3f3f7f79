"""CRC-32C, the checksum of TensorFlow checkpoints (Castagnoli polynomial, RFC 3720 appendix B.4)."""

import numpy as np
from numba import types
from numpy.typing import NDArray

from rtsep.shared.compiled import kernel

_REFLECTED_POLYNOMIAL = 0x82F63B78
_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_TABLE_LINE = types.Array(types.int64, 1, "C")


def _table() -> NDArray[np.int64]:
    """The effect of eight shifts on each byte."""
    table = np.arange(256, dtype=np.int64)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, _REFLECTED_POLYNOMIAL, 0)
    return table


_TABLE = _table()


@kernel(types.int64(_BYTES, _TABLE_LINE))
def _shift_in(data, table):
    # 64 bits: numba would widen 32 bits in every operation.
    crc = 0xFFFFFFFF
    for i in range(data.shape[0]):
        crc = table[(crc ^ data[i]) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def crc32c(data: NDArray[np.uint8]) -> int:
    """The checksum of contiguous bytes (n,)."""
    return int(_shift_in(data, _TABLE))


def masked_crc32c(data: NDArray[np.uint8]) -> int:
    """The checksum as LevelDB and TensorFlow store it: masked, so that data may contain checksums itself."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
