"""`rtsep eval`: score a model on songs that it was not trained on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from rtsep.cli.arguments import Flag, Model
from rtsep.cli.output.progress_line import ProgressLine
from rtsep.errors import RtsepError, UsageError
from rtsep.live_settings import WORDS, check_live_latency, choose_live_setting
from rtsep.system.allocator import keep_freed_memory
from rtsep.ui.console import put, say, say_lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rtsep.bundle import Bundle
    from rtsep.separation.separator import Separator
    from rtsep.train.evaluation.evaluate import System
    from rtsep.train.evaluation.scores import Row


def parse_chunks(text: str) -> list[int]:
    """`1,32,all` -> [1, 32, 0]. Raises UsageError."""
    parts = text.split(",")
    if not all(part == "all" or (part.isdecimal() and int(part)) for part in parts):
        raise UsageError(f"--chunk {text}: expected frame counts and 'all', separated by commas, such as 1,32,all")
    return [0 if part == "all" else int(part) for part in parts]


def evaluate(
    model: Model = None,
    /,
    *,
    data: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="", help="Folders of songs.")],
    chunk: Annotated[str, Parameter(help="Frames per step, separated by commas; 'all' is the whole song.")] = "1,32",
    latency: Annotated[
        str,
        Parameter(
            help="Latencies, separated by commas: standard, medium, low; or milliseconds, such as 162, for the live "
            "setting that `rtsep live --latency` would choose."
        ),
    ] = "standard",
    context: Annotated[int | None, Parameter(help="Limit the attention's context to this many frames.")] = None,
    card: Annotated[Flag, Parameter(help="Also write the scores into the model's CARD.md.")] = False,
    cache: Annotated[Path, Parameter(help="Folder for decoded songs.")] = Path("runs/cache"),
    json_output: Annotated[Flag, Parameter(name="--json", help="Print JSON, one object per row.")] = False,
) -> None:
    """Score a model on songs with known stems: whole-song SDR and BSSEval v4 (museval), in dB.

    What is scored is what `rtsep separate` writes with the same chunk size. If a folder contains a folder `test`, as
    MUSDB18 does, all songs in that are scored; otherwise the songs that the model's recipe holds out. The mixture, the
    best constant gain and the ideal ratio mask are scored for comparison.
    """
    chunks = parse_chunks(chunk)
    latencies = list(dict.fromkeys(check_live_latency(text) for text in latency.split(",")))
    if card and context is not None:
        raise UsageError("--card cannot be combined with --context: it describes the model as it is")
    if not data:
        raise UsageError("--data: expected one or more folders")
    import torch

    from rtsep.bundle import CARD_FILE, find_bundle
    from rtsep.train.evaluation.card import read_card, write_scores
    from rtsep.train.evaluation.evaluate import evaluate_song
    from rtsep.train.evaluation.scores import markdown, overall
    from rtsep.train.evaluation.test_songs import load_test_songs

    torch.set_num_threads(1)
    keep_freed_memory()
    bundle = find_bundle(model)
    if card:
        read_card(bundle.path)  # to report errors before hours of work
    systems = _systems(bundle, chunks, latencies, context)
    with ProgressLine() as line:
        songs, report = load_test_songs(bundle.recipe, data, cache, partial(line.show, "decoding songs"))
    if report.has_remarks:
        say_lines(report.lines())
    if not songs:
        raise RtsepError(
            f"{' or '.join(map(str, data))} has no songs to evaluate: the recipe holds none out "
            "(holdout in [[train.data]])"
        )
    rows: list[Row] = []
    done, total = 0, sum(song.samples for song in songs)
    with ProgressLine() as line:
        for number, song in enumerate(songs, start=1):
            for row in evaluate_song(song, bundle.recipe.stems, bundle.recipe.stft, systems):
                rows.append(row)
                if json_output:
                    _print_json(row)
                line.show(f"[{number}/{len(songs)}] {song.name}  {row.system}", done, total if done else None)
            done += song.samples
    if json_output:
        for row in overall(rows):
            _print_json(row)
    else:
        for text in markdown(rows).split("\n"):
            put(text)
    if card:
        write_scores(bundle.path, markdown(rows))
        say(f"wrote the scores to {bundle.path / CARD_FILE}")


def _systems(bundle: Bundle, chunks: list[int], latencies: list[str], context: int | None) -> list[System]:
    """The model as `rtsep separate` runs it; by its masks where that cannot: longer chunks, or another context."""
    import numpy as np

    from rtsep.separation.backends.stepper import MAX_CHUNK
    from rtsep.separation.load import load
    from rtsep.separation.separate import separate
    from rtsep.train.evaluation.evaluate import System, masking_system, system_name

    def separated(mixture: NDArray[np.float32], separator: Separator) -> NDArray[np.float32]:
        return np.stack(list(separate(mixture, bundle.recipe.stft.sample_rate, separator).values()))

    written = [chunk for chunk in chunks if 1 <= chunk <= MAX_CHUNK and context is None]
    network = bundle.load_network() if len(written) < len(chunks) else None
    if network is not None and context is not None:
        if not 1 <= context <= network.context_frames:
            raise UsageError(
                f"--context {context}: {bundle.name} was trained with 1 to {network.context_frames} frames"
            )
        network.context_frames = context
    if network is not None and bundle.recipe.average is not None:
        raise UsageError(
            f"{bundle.name} averages two networks: that needs chunks of at most {MAX_CHUNK} frames and no --context"
        )
    if network is not None and not set(latencies) <= set(WORDS):
        named = ",".join(latencies)
        raise UsageError(f"--latency {named}: milliseconds need chunks of at most {MAX_CHUNK} frames and no --context")
    systems: list[System] = []
    for chunk in chunks:
        for latency in latencies:
            if chunk in written:
                separator = load(bundle.path, chunk=chunk, device="cpu", latency=latency)
                mode = choose_live_setting(bundle.recipe, latency).mode
                systems.append(System(system_name(chunk), latency, mode, partial(separated, separator=separator)))
            else:
                assert network is not None
                systems.append(masking_system(network, bundle.recipe.stft, chunk, latency))
    return systems


def _print_json(row: Row) -> None:
    """Print a row on one line; infinite ratios are null."""
    put(msgspec.json.encode(row).decode())
