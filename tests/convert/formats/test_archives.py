"""Archives are unpacked below their folder or not at all."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from rtsep.convert.formats import archives
from rtsep.convert.formats.archives import is_archive, unpack
from rtsep.errors import RtsepError
from tests.convert.published_files import write_tar, write_zip

FILES = {"model/weights.bin": np.random.default_rng(1).bytes(40_001), "LICENSE": b"MIT", "model/._weights.bin": b"mac"}


WRITERS = {"a.zip": write_zip, "a.tar.gz": write_tar, "a.tar.xz": write_tar, "a.tar": write_tar}


@pytest.mark.parametrize("name", WRITERS)
def test_files_come_out_as_they_went_in_but_hidden_ones(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / name, FILES)
    assert is_archive(path)
    assert is_archive(path.rename(tmp_path / "download.part")), "by content too"
    unpack(tmp_path / "download.part", tmp_path / "out")
    found = {
        file.relative_to(tmp_path / "out").as_posix(): file.read_bytes()
        for file in (tmp_path / "out").rglob("*")
        if file.is_file()
    }
    assert found == {key: content for key, content in FILES.items() if "._" not in key}


def test_checkpoints_of_pytorch_are_no_archives_here(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "a.pth")
    (tmp_path / "a.txt").write_text("text")
    for name in ("a.pth", "a.txt", "none", "."):
        assert not is_archive(tmp_path / name)


def refused(path: Path, match: str) -> None:
    """Its unpacking ends in one line, and nothing lies outside the folder."""
    folder = path.parent / "deep" / "out"
    with pytest.raises(RtsepError, match=match) as caught:
        unpack(path, folder)
    assert "\n" not in str(caught.value)
    assert {file.name for file in path.parent.rglob("*") if file.is_file()} <= {path.name, "good.bin"}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    "member",
    ["../evil.bin", "model/../../../evil.bin", "/tmp/rtsep-evil.bin", "..\\evil.bin", "C:\\evil.bin", "C:evil"],
)
def test_what_would_be_written_elsewhere_is_refused(name: str, member: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / name, {"good.bin": b"good", member: b"evil"})
    refused(path, "outside the folder")
    assert not Path("/tmp/rtsep-evil.bin").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    refused(write_tar(tmp_path / "a.tar.gz", {"link": b""}, type=kind, linkname="../../a.tar.gz"), "not a plain file")


@pytest.mark.parametrize("name", WRITERS)
def test_names_that_would_write_on_the_terminal_are_refused(name: str, tmp_path: Path) -> None:
    refused(WRITERS[name](tmp_path / name, {"a\x1b[2J\n.pth": b""}), r"not a plain file")


def test_links_in_zip_are_refused(tmp_path: Path) -> None:
    refused(write_zip(tmp_path / "a.zip", {"link": b"/etc"}, mode=0o120777), "not a plain file")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kept", [0.1, 0.6, 0.999])
def test_what_is_cut_off_is_refused(name: str, kept: float, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / name, {"good.bin": FILES["model/weights.bin"]})
    content = path.read_bytes()
    if name == "a.tar":  # its last 10 kB are padding
        content = content[:40_000]
    path.write_bytes(content[: int(len(content) * kept)])
    refused(path, "damaged or not an archive")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.xz"])
def test_what_is_damaged_is_refused(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / name, {"good.bin": FILES["model/weights.bin"]})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)
    refused(path, "damaged or not an archive")


def test_what_is_not_as_long_as_it_says_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"good.bin": bytes(5000)})
    content = path.read_bytes()
    size = (5000).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (4000).to_bytes(4, "little")))
    refused(path, "damaged or not an archive")


@pytest.mark.parametrize("limit", ["MAX_BYTES", "MAX_FILES"])
@pytest.mark.parametrize("name", WRITERS)
def test_what_would_fill_the_disk_is_refused(
    name: str, limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, limit, {"MAX_BYTES": 1 << 20, "MAX_FILES": 2}[limit])
    files = {"good.bin": bytes(1 << 19), **{str(number): bytes(1 << 18) for number in range(3)}}
    path = WRITERS[name](tmp_path / name, files)
    with pytest.raises(RtsepError, match="refused: it holds more than"):
        unpack(path, tmp_path / "out")
