"""`rtsep bench`: the door to `benches/`, which lies in a checkout of the repository and not in the wheel."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import rtsep
from rtsep.cli.arguments import Flag, Model
from rtsep.errors import RtsepError, UsageError

OUT = Path("out/bench")


def latency(
    *,
    input: str | None = None,
    output: str | None = None,
    seconds: float = 6.0,
    jumps: int = 30,
    model: Model = None,
    out: Path = OUT,
) -> int:
    """Latency told against latency measured, and how long jumps take.

    A click goes through virtual devices (PulseAudio on Linux) and a model of constant masks, at blocks of 256, 441,
    512 and 1024 samples and 1 and 4 frames a step. Then jumps in a song of each format, with the model.

    Parameters
    ----------
    input
        With --output: instead of all that, the devices' own part of two real devices that a cable joins.
    output
        See --input.
    seconds
        Of clicks, for each block and chunk.
    jumps
        To anywhere, and as many to a cue, for each format; 0 leaves them out.
    out
        Folder for JSON, Markdown and pictures.
    """
    if (input is None) != (output is None):
        raise UsageError("--input and --output belong together: two real devices that a cable joins")
    _check("--seconds", seconds, 3.0)
    _check("--jumps", jumps, 0)
    return _bench("latency").run(input, output, seconds, jumps, model, out)


def soak(
    *,
    minutes: float = 30.0,
    busy: Flag = False,
    jack: Flag = False,
    model: Model = None,
    out: Path = OUT,
) -> int:
    """Live for a long time at one frame a step, blocks of 256 samples, every sample judged by a capture.

    Exit code 1 when the capture is not what went in. Control-C ends early and writes what was measured until then.

    Parameters
    ----------
    minutes
        How long.
    busy
        Keep another core busy meanwhile.
    jack
        On the strict clock of JACK's dummy device, instead of PulseAudio's virtual devices.
    out
        Folder for JSON, Markdown and pictures.
    """
    _check("--minutes", minutes, 0.05)
    return _bench("soak").run(minutes, busy, jack, model, out)


def throughput(*, model: Model = None, compute: str = "cpu", hops: int = 1280, out: Path = OUT) -> int:
    """How long a hop takes, stage by stage, for each way to compute; and whole songs against their duration.

    Parameters
    ----------
    compute
        cpu, cuda or cuda:N.
    hops
        Measured for each way and number of frames a step.
    out
        Folder for JSON, Markdown and pictures.
    """
    _check("--hops", hops, 32)
    return _bench("throughput").run(model, compute, hops, out)


def peers(*, install: Annotated[tuple[str, ...], Parameter(negative="")] = (), seconds: float = 10.0,
          model: Model = None, out: Path = OUT) -> int:  # fmt: skip
    """Other separators in the same run on the same sound, on one thread each; those that are not there are skipped.

    Parameters
    ----------
    install
        hs-tasnet, demucs or spleeter: first install it with pip into a folder of its own, OUT/peers/NAME. May be given
        several times.
    seconds
        Of the bundled song.
    out
        Folder for JSON, Markdown and pictures.
    """
    _check("--seconds", seconds, 1.0)
    return _bench("peers").run(install, seconds, model, out)


def runtimes(*, install: Flag = False, frames: int = 640, model: Model = None, out: Path = OUT) -> int:
    """Other runtimes for a network's step, in fp32, bf16 and int8, against the ways that rtsep has.

    Parameters
    ----------
    install
        First install them with pip into a folder of their own, OUT/peers/runtimes.
    frames
        Of the bundled song, for each number of frames a step.
    out
        Folder for JSON, Markdown and pictures.
    """
    _check("--frames", frames, 320)
    return _bench("runtimes").run(install, frames, model, out)


def spleeter(*, install: Flag = False, seconds: float = 30.0, out: Path = OUT) -> int:
    """Spleeter itself, with random weights of 2, 4 and 5 stems, against what rtsep makes of its checkpoints.

    Exit code 1 when masks or waveforms differ by more than rounding does.

    Parameters
    ----------
    install
        First install it with pip into a folder of its own, OUT/peers/spleeter; with TensorFlow, more than 2 GB.
    seconds
        Of the bundled song.
    out
        Folder for JSON and Markdown.
    """
    _check("--seconds", seconds, 1.0)
    return _bench("spleeter").run(install, seconds, out)


def networks(
    names: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    /,
    *,
    weights: Path | None = None,
    data: Path | None = None,
    out: Path = OUT,
) -> int:
    """What every network costs: real-time factors in files and live, stride, lookahead, latency, how to play it.

    Parameters
    ----------
    names
        Names or folders of models, with or without weights. Default: all, which takes minutes.
    weights
        A trained Spleeter of two stems: what its window costs in SDR, on songs in --data that its recipe holds out.
    data
        See --weights.
    out
        Folder for JSON and Markdown.
    """
    if (weights is None) != (data is None):
        raise UsageError("--weights and --data belong together: a model, and songs to judge it by")
    return _bench("networks").run(names, weights, data, out)


def model(
    name: str,
    /,
    *,
    data: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="")],
    minutes: float = 30.0,
    cache: Path = Path("runs/cache"),
    out: Path = OUT,
) -> int:
    """Whether a model behaves: speed, input level, silence, half an hour of streaming, pauses between phrases.

    Spectrograms go to the model's folder, into `pictures`.

    Parameters
    ----------
    name
        Name or folder of a model.
    data
        Folders of songs, as for rtsep eval: those that the model's recipe holds out are heard.
    minutes
        Of streaming.
    cache
        Where decoded songs are kept.
    out
        Folder for JSON and Markdown.
    """
    _check("--minutes", minutes, 2.0)
    if not data:
        raise UsageError("--data: expected a folder or several")
    return _bench("model").run(name, data, minutes, cache, out)


def corrector(*, seconds: int = 120, out: Path = OUT) -> int:
    """What the clock corrector costs, and how near it comes on simulated clocks that are off by 200 ppm.

    Parameters
    ----------
    seconds
        Simulated, for each of sixteen runs a case.
    out
        Folder for JSON and Markdown.
    """
    _check("--seconds", seconds, 31)
    return _bench("corrector").run(seconds, out)


def _check(option: str, value: float, least: float) -> None:
    if not (math.isfinite(value) and value >= least):
        raise UsageError(f"{option} {value:g}: expected {least:g} or more")


def _bench(name: str) -> Any:
    """The module of a bench. RtsepError where there is no checkout."""
    root = Path(rtsep.__file__).resolve().parent.parent
    if not (root / "benches" / "report.py").exists():
        raise RtsepError("rtsep bench measures from a checkout of the repository, and this rtsep is installed without")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module(f"benches.{name}")
