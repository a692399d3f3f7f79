"""Archives and folders as authors publish them, small ones."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from tests.convert import golden
from tests.convert import spleeter_reference as reference
from tests.convert.tensorflow_files import write_checkpoint

ARCHIVE = "/deezer/spleeter/releases/download/test/2stems.tar.gz"
CONFIG = {
    "instrument_list": ["vocals", "accompaniment"],
    "model": {"type": "unet.unet", "params": {"conv_n_filters": [3, 4, 5]}},
    "T": 8,
    "F": 16,
}


def write_zip(path: Path, files: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def write_tar(path: Path, files: dict[str, bytes], **member: object) -> Path:
    mode = {".gz": "w:gz", ".xz": "w:xz", ".tar": "w"}[path.suffix]
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in member.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return path


def spleeter_folder(folder: Path, seed: int = 0) -> Path:
    """A small Spleeter of two stems, with its JSON."""
    shift = np.float32(seed / 100)
    variables = {name: array + shift for name, array in reference.random_variables(2, (3, 4, 5)).items()}
    write_checkpoint(folder, variables)
    (folder / "checkpoint").write_text('model_checkpoint_path: "model"\n')
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def spleeter_archive(folder: Path, seed: int = 0) -> bytes:
    files = {path.name: path.read_bytes() for path in spleeter_folder(folder / f"checkpoint{seed}", seed).iterdir()}
    return write_tar(folder / f"{seed}.tar.gz", {f"./{name}": content for name, content in files.items()}).read_bytes()


def vocal_remover_zip(folder: Path) -> Path:
    """As its author packs it: the checkpoint among the sources."""
    tensors, _ = golden.read("vocal-remover-5")
    torch.save(tensors, folder / "baseline.pth")
    files = {
        "vocal-remover/inference.py": b"raise SystemExit",
        "vocal-remover/models/baseline.pth": (folder / "baseline.pth").read_bytes(),
    }
    return write_zip(folder / "vocal-remover.zip", files)
