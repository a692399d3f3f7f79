"""`rtsep eval`: what a model scores on songs that it was not trained on."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from rtsep.cli.arguments import Flag, Model
from rtsep.cli.output.progress_line import ProgressLine
from rtsep.errors import RtsepError, UsageError
from rtsep.separation.options import check_latency
from rtsep.system.allocator import keep_freed_memory

if TYPE_CHECKING:
    from rtsep.train.evaluation.scores import Row


def parse_chunks(text: str) -> list[int]:
    """`1,32,all` -> [1, 32, 0]. Raises UsageError."""
    parts = text.split(",")
    if not all(part == "all" or (part.isdecimal() and int(part)) for part in parts):
        raise UsageError(f"--chunk {text}: expected frame counts and 'all' with commas between, such as 1,32,all")
    return [0 if part == "all" else int(part) for part in parts]


def evaluate(
    model: Model = None,
    /,
    *,
    data: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="", help="Folders of songs.")],
    chunk: Annotated[str, Parameter(help="Frames a step; 'all' is the whole song.")] = "1,32",
    latency: Annotated[str, Parameter(help="standard, medium, low: modes of the synthesis.")] = "standard",
    context: Annotated[int | None, Parameter(help="Cut the attention's context to so many frames.")] = None,
    card: Annotated[Flag, Parameter(help="Write the scores into the model's CARD.md too.")] = False,
    cache: Annotated[Path, Parameter(help="Where decoded songs are kept.")] = Path("runs/cache"),
    json_output: Annotated[Flag, Parameter(name="--json", help="A JSON object a row instead of tables.")] = False,
) -> None:
    """Score a model on songs whose true stems are known: whole-song SDR and BSSEval v4 (museval), in dB.

    A folder with songs in `test`, such as MUSDB18, gives all of these; any other gives the songs that the model's
    recipe holds out. Beside the model stand the mixture, the best constant gain and the ideal ratio mask.
    """
    chunks = parse_chunks(chunk)
    latencies = list(dict.fromkeys(check_latency(mode) for mode in latency.split(",")))
    if card and context is not None:
        raise UsageError("--card tells of the model as it is: leave --context out")
    if not data:
        raise UsageError("--data: expected a folder or several")
    import torch

    from rtsep.bundle import CARD_FILE, find_bundle
    from rtsep.train.evaluation.card import read_card, write_scores
    from rtsep.train.evaluation.evaluate import evaluate_song
    from rtsep.train.evaluation.scores import markdown, overall
    from rtsep.train.evaluation.test_songs import songs_to_judge

    torch.set_num_threads(1)
    keep_freed_memory()
    bundle = find_bundle(model)
    if card:
        read_card(bundle.path)  # what is wrong with it is said before hours of work
    network = bundle.load_network()
    if context is not None:
        if not 1 <= context <= network.context_frames:
            raise UsageError(
                f"--context {context}: {bundle.name} was trained with 1 to {network.context_frames} frames"
            )
        network.context_frames = context
    with ProgressLine() as line:
        songs, report = songs_to_judge(bundle.recipe, data, cache, partial(line.show, "decoding songs"))
    if any(of.skipped for of in report.sources):
        print(report, file=sys.stderr)
    if not songs:
        raise RtsepError(
            f"nothing to judge {bundle.name} by: {', '.join(map(str, data))} has no folder test of songs, and the "
            "recipe holds no songs out (holdout of its [[train.data]])"
        )
    rows: list[Row] = []
    done, total = 0, sum(song.samples for song in songs)
    with ProgressLine() as line:
        for number, song in enumerate(songs, start=1):
            for row in evaluate_song(network, song, bundle.recipe.stft, chunks, latencies):
                rows.append(row)
                if json_output:
                    line.clear()
                    _print_json(row)
                line.show(f"[{number}/{len(songs)}] {song.name}  {row.system}", done, total if done else None)
            done += song.samples
    if json_output:
        for row in overall(rows):
            _print_json(row)
    else:
        print(markdown(rows))
    if card:
        write_scores(bundle.path, markdown(rows))
        print(f"rtsep: the scores are in {bundle.path / CARD_FILE}", file=sys.stderr)


def _print_json(row: Row) -> None:
    """On a line; ratios without end are null."""
    print(msgspec.json.encode(row).decode(), flush=True)
