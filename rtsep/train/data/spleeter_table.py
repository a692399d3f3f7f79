"""Spleeter's description of training material: a CSV of paths, or the JSON that names two of them.

The CSV's columns are `mix_path`, `<instrument>_path` for each instrument, and `duration`; paths are relative to the
source's folder, Spleeter's `--data`. Of the JSON what is about the material is followed; what is about the loop is the
recipe's business, and each such key is named in the report.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from rtsep.errors import RtsepError
from rtsep.train.data.data_report import Skipped, SourceReport
from rtsep.train.data.decode import Part
from rtsep.train.data.layouts import Found
from rtsep.train.data.stem_plan import part_name

PATH = "_path"

# Keys that are not followed, and where the recipe says the like.
ELSEWHERE = {
    "sample_rate": "[stft] sample_rate",
    "frame_length": "[stft] n_fft",
    "frame_step": "[stft] hop",
    "F": "[stft] bins",
    "n_channels": "[stft] channels",
    "T": "[train] frames",
    "model": "network",
    "separation_exponent": "[net]",
    "mask_extension": "[net]",
    "model_dir": "--out",
    "batch_size": "[train] batch",
    "learning_rate": "[train] learning_rate",
    "train_max_steps": "[train] steps",
    "random_seed": "[train] seed",
    "n_chunks_per_song": "crops come from anywhere in a song",
    "chunk_duration": "crops come from anywhere in a song",
}


class Settings(Struct, frozen=True):
    """The keys of the JSON that are followed."""

    train_csv: str
    validation_csv: str | None = None
    mix_name: str = "mix"
    instrument_list: tuple[str, ...] | None = None
    training_cache: str | None = None
    validation_cache: str | None = None


FOLLOWED = set(Settings.__struct_fields__)


def find_spleeter(table: Path, folders: Sequence[Path], report: SourceReport) -> Iterator[Found | Skipped]:
    """The songs that a CSV or JSON names, those kept for evaluation first. Raises RtsepError if it cannot be read."""
    if table.suffix.lower() == ".csv":
        yield from _rows(table, folders, Settings(train_csv=table.name), held_out=False)
        return
    try:
        content = table.read_bytes()
        settings = msgspec.json.decode(content, type=Settings)
        keys = msgspec.json.decode(content, type=dict[str, object])
    except OSError as error:
        raise RtsepError(f"cannot read {table}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RtsepError(f"{table}: {error}") from error
    ignored = [f"{key} ({ELSEWHERE.get(key, 'nothing like it here')})" for key in keys if key not in FOLLOWED]
    if ignored:
        report.notes.append(f"{table.name}: not followed, the recipe tells it: {', '.join(ignored)}")
    if settings.validation_csv:
        yield from _rows(_beside(table, settings.validation_csv), folders, settings, held_out=True)
    yield from _rows(_beside(table, settings.train_csv), folders, settings, held_out=False)


def _beside(table: Path, name: str) -> Path:
    """A file that the JSON names: Spleeter starts from the working folder, whence the JSON lies in a folder or not."""
    places = [Path(name), table.parent / name, table.parent.parent / name]
    for place in places:
        if place.is_file():
            return place
    raise RtsepError(f"{table} names {name}, which is not there (looked for {', '.join(map(str, places))})")


def _rows(table: Path, folders: Sequence[Path], settings: Settings, held_out: bool) -> Iterator[Found | Skipped]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            names, rows = list(reader.fieldnames or ()), list(reader)
    except OSError as error:
        raise RtsepError(f"cannot read {table}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise RtsepError(f"{table} is no CSV: {error}") from error
    mix = settings.mix_name + PATH
    if settings.instrument_list is None:
        columns = [name for name in names if name.endswith(PATH)]
    else:
        columns = [mix, *(instrument + PATH for instrument in settings.instrument_list)]
    missing = {mix, *columns} - set(names)
    if missing:
        raise RtsepError(f"{table} has no column {min(missing)}; it has {', '.join(names) or 'none'}")
    cache = settings.validation_cache if held_out else settings.training_cache
    for number, row in enumerate(rows, start=2):
        if not row[mix]:
            yield Skipped(f"line {number}", f"no {mix}")
            continue
        mixture = Path(row[mix])
        name = (mixture.parent.name if part_name(mixture.stem) == "mixture" else "") or mixture.stem
        parts: dict[str, Part] = {}
        absent: list[str] = []
        for column in columns:
            places = [folder / row[column] for folder in folders] if row[column] else []
            place = next((place for place in places if place.is_file()), None)
            if place is None:
                absent.append(f"{column} {row[column] or 'is empty'}")
            else:
                parts["mixture" if column == mix else part_name(column.removesuffix(PATH))] = Part(place)
        if absent:
            yield Skipped(name, f"not there: {', '.join(absent)}")
        else:
            yield Found(name, parts, held_out=held_out, cache=Path(cache) if cache else None)
