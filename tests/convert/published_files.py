"""Archives and folders as authors publish them, small ones."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from rtsep.convert.families.spleeter import NORM
from tests.convert.families import spleeter_reference as reference
from tests.convert.formats.tensorflow_files import write_checkpoint

ARCHIVE = "/deezer/spleeter/releases/download/test/2stems.tar.gz"
INSTRUMENTS = ("vocals", "accompaniment")
FILTERS = (3, 4, 5)
LEVELS = len(FILTERS)
CONFIG = {"model": {"type": "unet.unet", "params": {"conv_n_filters": FILTERS}}, "T": 8, "F": 16}


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


def spleeter_folder(folder: Path, seed: int = 0, instruments: tuple[str, ...] = INSTRUMENTS) -> Path:
    """A small Spleeter with its JSON."""
    shift = np.float32(seed / 100)
    variables = reference.random_variables(len(instruments), FILTERS)
    write_checkpoint(folder, {name: array + shift for name, array in variables.items()})
    (folder / "checkpoint").write_text('model_checkpoint_path: "model"\n')
    (folder / "config.json").write_text(json.dumps(CONFIG | {"instrument_list": instruments}))
    return folder


def spleeter_archive(folder: Path, seed: int = 0, instruments: tuple[str, ...] = INSTRUMENTS) -> bytes:
    source = spleeter_folder(folder / f"checkpoint{seed}", seed, instruments)
    files = {f"./{path.name}": path.read_bytes() for path in source.iterdir()}
    return write_tar(folder / f"{seed}.tar.gz", files).read_bytes()


def port_names(variables: reference.Variables, stems: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """The state dict that pt-spleeter makes of a checkpoint whose networks have three levels."""
    tensors = {"win": torch.hann_window(4096)}

    def put(prefix: str, path: str, kinds: dict[str, str]) -> None:
        for theirs, kind in kinds.items():
            array = variables[f"{path}/{kind}"]
            tensor = torch.from_numpy(array.transpose(3, 2, 0, 1).copy() if array.ndim == 4 else array)
            tensors[f"stems.{prefix}.{theirs}"] = tensor

    layer, norm = {"weight": "kernel", "bias": "bias"}, NORM
    for s, stem in enumerate(stems):
        for i in range(LEVELS):
            name, bn = reference.name, "batch_normalization"
            put(f"{stem}.encoder_layers.{i}.conv", name("conv2d", (LEVELS + 1) * s + i), layer)
            put(f"{stem}.encoder_layers.{i}.bn", name(bn, 2 * LEVELS * s + i), norm)
            put(f"{stem}.decoder_layers.{i}.tconv", name("conv2d_transpose", LEVELS * s + i), layer)
            put(f"{stem}.decoder_layers.{i}.bn", name(bn, 2 * LEVELS * s + LEVELS + i), norm)
            tensors[f"stems.{stem}.encoder_layers.{i}.bn.num_batches_tracked"] = torch.tensor(0)
        put(f"{stem}.up_final", reference.name("conv2d", (LEVELS + 1) * s + LEVELS), layer)
    return tensors


def port_zip(folder: Path) -> Path:
    """A state dict, also left in the folder as `baseline.pth`, packed with its author's sources."""
    torch.save(port_names(reference.random_variables(2, FILTERS), INSTRUMENTS), folder / "baseline.pth")
    files = {
        "separator/inference.py": b"raise SystemExit",
        "separator/models/baseline.pth": (folder / "baseline.pth").read_bytes(),
    }
    return write_zip(folder / "separator.zip", files)
