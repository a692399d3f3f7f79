"""Spleeter's descriptions of training data: a CSV of paths, or the JSON that names two of them.

The CSV's columns are `mix_path`, `<instrument>_path` for each instrument, and `duration`; paths are relative to the
source's folder, Spleeter's `--data`. The keys of the JSON that describe the data are used; those that describe the
training belong to the recipe, and the report names each of them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path, PureWindowsPath

import msgspec
from msgspec import Struct

from rtsep.errors import RtsepError
from rtsep.files import existing, read_text
from rtsep.train.data.data_report import SkippedSong, SourceReport
from rtsep.train.data.decode import StemFile
from rtsep.train.data.layouts import SongFiles
from rtsep.train.data.stem_plan import canonical_name

PATH = "_path"

# Keys that are not used, and what takes their place in the recipe.
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
    """The keys of the JSON that are used."""

    train_csv: str
    validation_csv: str | None = None
    mix_name: str = "mix"
    instrument_list: tuple[str, ...] | None = None
    training_cache: str | None = None
    validation_cache: str | None = None


USED = set(Settings.__struct_fields__)


def find_spleeter(table: Path, folders: Sequence[Path], report: SourceReport) -> Iterator[SongFiles | SkippedSong]:
    """The songs that a CSV or JSON names, held-out songs first. Raises RtsepError if it cannot be read."""
    if table.suffix.lower() == ".csv":
        yield from _rows(table, folders, Settings(train_csv=table.name), held_out=False)
        return
    try:
        content = read_text(table)
        settings = msgspec.json.decode(content, type=Settings)
        keys = msgspec.json.decode(content, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise RtsepError(f"{table}: {error}") from error
    ignored = [f"{key} ({ELSEWHERE.get(key, 'no equivalent')})" for key in keys if key not in USED]
    if ignored:
        report.notes.append(f"{table.name}: ignored, the recipe decides: {', '.join(ignored)}")
    if settings.validation_csv:
        yield from _rows(_beside(table, settings.validation_csv), folders, settings, held_out=True)
    yield from _rows(_beside(table, settings.train_csv), folders, settings, held_out=False)


def _beside(table: Path, name: str) -> Path:
    """A file that the JSON names, relative to the working folder (as in Spleeter), to the JSON's or to its parent."""
    folders = [Path(), table.parent, table.parent.parent]
    place = next((path for path in existing(folders, name) if path.is_file()), None)
    if place is None:
        tried = ", ".join(str(folder / name) for folder in folders)
        raise RtsepError(f"{table} names {name}, which does not exist (tried {tried})")
    return place


def _rows(
    table: Path, folders: Sequence[Path], settings: Settings, held_out: bool
) -> Iterator[SongFiles | SkippedSong]:
    text = read_text(table)
    head = text.partition("\n")[0]
    try:
        # Spreadsheets of some countries write semicolons.
        lines = io.StringIO(text, newline="")
        reader = csv.reader(lines, delimiter=max(",;\t", key=head.count), skipinitialspace=True, strict=True)
        names, *values = [[value.strip() for value in row] for row in reader if row] or [[]]
    except csv.Error as error:
        raise RtsepError(f"{table} is not a CSV: {error}") from error
    rows = [dict(zip_longest(names, row[: len(names)], fillvalue="")) for row in values]
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
            yield SkippedSong(f"line {number}", f"no {mix}")
            continue
        mixture = PureWindowsPath(row[mix])  # which has both separators
        name = (mixture.parent.name if canonical_name(mixture.stem) == "mixture" else "") or mixture.stem
        files: dict[str, StemFile] = {}
        absent: list[str] = []
        for column in columns:
            place = next((path for path in existing(folders, row[column]) if row[column] and path.is_file()), None)
            if place is None:
                absent.append(f"{column} {row[column] or 'is empty'}")
            else:
                files["mixture" if column == mix else canonical_name(column.removesuffix(PATH))] = StemFile(place)
        if absent:
            yield SkippedSong(name, f"missing: {', '.join(absent)}")
        else:
            yield SongFiles(name, files, held_out=held_out, cache=Path(cache) if cache else None)
