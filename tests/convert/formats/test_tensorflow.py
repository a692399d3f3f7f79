"""TensorFlow's checkpoints without TensorFlow: what was written comes back, and damage is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtsep.convert.formats.crc32c import crc32c, masked_crc32c
from rtsep.convert.formats.tensorflow import TensorFlowCheckpoint, find_checkpoint
from rtsep.errors import RtsepError
from tests.convert.formats.tensorflow_files import entry, field, table, write_checkpoint


def variables() -> dict[str, np.ndarray]:
    """Names that share beginnings, over several blocks; every type that is read; a scalar; nothing at all."""
    random = np.random.default_rng(5)
    made: dict[str, np.ndarray] = {
        f"conv2d_{number}/{kind}": random.standard_normal((1 + number % 5, 3)).astype(np.float32)
        for number in range(30)
        for kind in ("bias", "kernel")
    }
    made["global_step"] = np.array(150, np.int64)
    made["double"] = random.standard_normal((2, 1, 3))
    made["half"] = random.standard_normal(7).astype(np.float16)
    made["int"] = np.arange(-3, 4, dtype=np.int32)
    made["empty"] = np.zeros((0, 4), np.float32)
    return made


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path, variables())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksums_are_those_of_the_standard(data: bytes, expected: int) -> None:
    array = np.frombuffer(data, np.uint8)
    assert crc32c(array) == expected
    rotated = (expected >> 15 | expected << 17) & 0xFFFFFFFF
    assert masked_crc32c(array) == (rotated + 0xA282EAD8) % 2**32


def test_every_variable_comes_back_to_the_bit(prefix: Path) -> None:
    checkpoint = TensorFlowCheckpoint(prefix)
    expected = variables()
    assert checkpoint.shapes == {name: array.shape for name, array in expected.items()}
    for name, array in expected.items():
        read = checkpoint.read(name)
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


def test_a_missing_variable_is_named(prefix: Path) -> None:
    with pytest.raises(RtsepError, match="no variable conv2d_99/kernel"):
        TensorFlowCheckpoint(prefix).read("conv2d_99/kernel")


def test_every_changed_byte_of_the_index_is_noticed(prefix: Path) -> None:
    index = prefix.with_suffix(".index")
    content = index.read_bytes()
    unused = len(content[:-8].rstrip(b"\0"))  # from here on the footer is filled with zeros
    for at in [*range(0, len(content), 7), *range(len(content) - 8, len(content))]:
        changed = bytearray(content)
        changed[at] ^= 0x41
        index.write_bytes(changed)
        if unused <= at < len(content) - 8:
            continue
        with pytest.raises(RtsepError) as caught:
            TensorFlowCheckpoint(prefix)
        assert "\n" not in str(caught.value)


def test_a_cut_off_index_is_one_line(prefix: Path) -> None:
    index = prefix.with_suffix(".index")
    content = index.read_bytes()
    for size in [0, 5, 47, 48, 49, len(content) // 2, len(content) - 1]:
        index.write_bytes(content[:size])
        with pytest.raises(RtsepError, match="damaged or not a TensorFlow checkpoint"):
            TensorFlowCheckpoint(prefix)


def test_changed_or_missing_data_is_told_with_the_variable(prefix: Path) -> None:
    data = prefix.with_name("model.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    checkpoint = TensorFlowCheckpoint(prefix)
    content[3] ^= 1
    data.write_bytes(content)
    with pytest.raises(RtsepError, match="checksum of conv2d_0/bias is wrong"):
        checkpoint.read("conv2d_0/bias")
    checkpoint.read("conv2d_1/bias")
    data.write_bytes(content[:-1])
    with pytest.raises(RtsepError, match="truncated before the end of int"):
        checkpoint.read("int")
    data.unlink()
    with pytest.raises(RtsepError, match="cannot read .*data-00000-of-00001"):
        checkpoint.read("int")


def test_a_checkpoint_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RtsepError, match=r"cannot read .*model\.index"):
        TensorFlowCheckpoint(tmp_path / "model")


def index_of(prefix: Path, *entries: tuple[bytes, bytes], **how: int) -> TensorFlowCheckpoint:
    prefix.with_suffix(".index").write_bytes(table(list(entries), **how))
    return TensorFlowCheckpoint(prefix)


HEADER = (b"", field(1, 1))
ONE = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([(b"x", entry(ONE, 0))], "no header"),
        ([(b"", field(1, 1) + field(2, 1))], "big-endian"),
        ([HEADER, (b"x", b"\x0f")], "not a protocol-buffer message"),
        ([HEADER, (b"x", b"\x0a\x50")], "truncated"),
        ([HEADER, (b"x", b"\xff" * 11)], "does not end"),
        ([HEADER, (b"x", field(1, b"text"))], "bytes where a number belongs"),
        ([HEADER, (b"x", field(2, 7))], "number where a message belongs"),
        ([HEADER, (b"\xff\xfe", entry(ONE, 0))], "utf-8"),
    ],
)
def test_tables_of_something_else_are_one_line(
    tmp_path: Path, entries: list[tuple[bytes, bytes]], complaint: str
) -> None:
    with pytest.raises(RtsepError, match=complaint) as caught:
        index_of(tmp_path / "model", *entries)
    assert "\n" not in str(caught.value)


def test_what_is_not_read_here_is_said(tmp_path: Path) -> None:
    prefix = write_checkpoint(tmp_path, {"x": ONE}, compression=1)
    with pytest.raises(RtsepError, match="compressed"):
        TensorFlowCheckpoint(prefix)
    sliced = index_of(prefix, HEADER, (b"x", entry(ONE, 0, field(7, b""))))
    with pytest.raises(RtsepError, match="stored in slices"):
        sliced.read("x")
    text = index_of(prefix, HEADER, (b"x", field(1, 7) + field(5, 12)))
    with pytest.raises(RtsepError, match="data type 7"):
        text.read("x")
    odd = index_of(prefix, HEADER, (b"x", field(1, 1) + field(2, field(2, field(1, 4))) + field(5, 12)))
    with pytest.raises(RtsepError, match="12 bytes for the shape"):
        odd.read("x")


def test_a_folder_tells_which_checkpoint_counts(tmp_path: Path) -> None:
    with pytest.raises(RtsepError, match="no TensorFlow checkpoint"):
        find_checkpoint(tmp_path)
    assert find_checkpoint(write_checkpoint(tmp_path, {"x": ONE}).parent) == tmp_path / "model"
    write_checkpoint(tmp_path, {"x": ONE}, "model.ckpt-100")
    with pytest.raises(RtsepError, match="several"):
        find_checkpoint(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/somewhere/else/model.ckpt-100"\n')
    assert find_checkpoint(tmp_path) == tmp_path / "model.ckpt-100"
