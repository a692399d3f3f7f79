"""What a user may ask of the engine, checked without importing torch: `--compute` and `--chunk`."""

from __future__ import annotations

import re

from rtsep.errors import UsageError

MAX_CHUNK = 32
"""The most frames a network takes in one step."""


def check_compute(text: str) -> str:
    """`text` if it is auto, cpu, cuda or cuda:N; UsageError otherwise. Whether it is there only torch can tell."""
    if re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", text) is None:
        raise UsageError(f"--compute {text}: expected auto, cpu, cuda or cuda:N")
    return text


def check_chunk(chunk: int | None) -> int | None:
    """`chunk` if it is None (auto) or 1 to 32; UsageError otherwise."""
    if chunk is not None and not 1 <= chunk <= MAX_CHUNK:
        raise UsageError(f"--chunk {chunk}: expected 1 to {MAX_CHUNK}")
    return chunk
