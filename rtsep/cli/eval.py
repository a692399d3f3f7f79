"""`rtsep eval`: what a model scores on songs that it was not trained on."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rtsep.cli.arguments import Flag, Model
from rtsep.engine.options import check_latency
from rtsep.errors import RtsepError, UsageError

if TYPE_CHECKING:
    from rtsep.train.evaluate import Row


def parse_chunks(text: str) -> list[int]:
    """`1,32,all` -> [1, 32, 0]. Raises UsageError."""
    try:
        chunks = [0 if part == "all" else int(part) for part in text.split(",")]
    except ValueError:
        chunks = [-1]
    if "0" in text.split(",") or any(chunk < 0 for chunk in chunks):
        raise UsageError(f"--chunk {text}: expected frame counts and 'all' with commas between, such as 1,32,all")
    return chunks


def evaluate(
    model: Model = None,
    /,
    *,
    data: Annotated[
        list[Path], Parameter(consume_multiple=True, help="folders in which the recipe's folders are looked for")
    ],
    chunk: Annotated[str, Parameter(help="frames a step; 'all' is the whole song")] = "1,32",
    latency: Annotated[str, Parameter(help="standard, medium, low: modes of the synthesis")] = "standard",
    context: Annotated[int | None, Parameter(help="cut the attention's context to so many frames")] = None,
    cache: Annotated[Path, Parameter(help="where decoded songs are kept")] = Path("runs/cache"),
    json_output: Annotated[Flag, Parameter(name="--json")] = False,
) -> None:
    """Score a model on the held-out songs of its recipe: whole-song SDR of every stem, in dB."""
    chunks = parse_chunks(chunk)
    latencies = [check_latency(mode) for mode in latency.split(",")]
    import torch

    from rtsep.bundle import find_bundle
    from rtsep.train.data import load_songs
    from rtsep.train.evaluate import evaluate_song

    torch.set_num_threads(1)
    bundle = find_bundle(model)
    network = bundle.load_network()
    if context is not None:
        if not 1 <= context <= network.context_frames:
            raise UsageError(
                f"--context {context}: {bundle.name} was trained with 1 to {network.context_frames} frames"
            )
        network.context_frames = context
    rows: list[Row] = []
    songs, report = load_songs(bundle.recipe, data, cache, held_out=True)
    if not songs:
        raise RtsepError(f"the recipe of {bundle.name} holds no songs out: name some in holdout of its [[train.data]]")
    if any(of.skipped for of in report.sources):
        print(report, file=sys.stderr)
    for song in songs:
        for row in evaluate_song(network, song, bundle.recipe.stft, chunks, latencies):
            rows.append(row)
            if json_output:
                print(json.dumps({field: getattr(row, field) for field in row.__dataclass_fields__}), flush=True)
            elif sys.stderr.isatty():
                print(f"\r{song.name}: {row.stem}\033[K", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if not json_output:
        print(table(rows, chunks))


def table(rows: list[Row], chunks: list[int]) -> str:
    """Markdown: a line for each song, stem and latency mode, then the means of each folder."""
    names = ["all" if chunk == 0 else str(chunk) for chunk in chunks]
    head = ["song", "stem", "latency", "mixture", "constant gain", "ideal mask", *(f"K={name}" for name in names)]
    head += [f"K={names[0]} over gain", "in pauses"]
    lines = [head, ["---"] * 3 + ["---:"] * (len(head) - 3)]

    def figures(group: list[Row]) -> list[str]:
        columns = [[row.mixture_db for row in group], [row.gain_db for row in group], [row.ideal_db for row in group]]
        columns += [[row.network_db[chunk] for row in group] for chunk in chunks]
        columns += [[row.over_gain_db(chunks[0]) for row in group]]
        pauses = [level for row in group if (level := row.pause_db[chunks[0]]) is not None]
        return [f"{statistics.fmean(column):.2f}" for column in columns] + [
            f"{statistics.fmean(pauses):.1f}" if pauses else "–"
        ]

    lines += [[row.song, row.stem, row.latency, *figures([row])] for row in rows]
    for folder, stem in dict.fromkeys((row.folder, row.stem) for row in rows):
        for latency in dict.fromkeys(row.latency for row in rows):
            group = [row for row in rows if (row.folder, row.stem, row.latency) == (folder, stem, latency)]
            if group:
                lines.append([f"**mean of {folder}**", stem, latency, *figures(group)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
