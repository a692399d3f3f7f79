"""`rtsep bench`: runs the benchmarks in `benches/`, which are part of the repository but not of the wheel."""

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
    """Compare reported with measured latency, and time seeks.

    Clicks pass through virtual devices (PulseAudio on Linux) and a model with constant masks, at block sizes of 256,
    441, 512 and 1024 samples and 1 and 4 frames per step. Then seeks in a song of each format are timed with the model.

    Parameters
    ----------
    input
        Input device. With --output: only measure the latency of two real devices connected by a cable.
    output
        Output device, see --input.
    seconds
        Duration of the clicks, for each block and chunk size.
    jumps
        Number of seeks to random positions, and of seeks to a cue, for each format; 0 skips them.
    out
        Output folder for JSON, Markdown and plots.
    """
    if (input is None) != (output is None):
        raise UsageError("--input and --output must be used together: two real devices connected by a cable")
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
    """Run live for a long time, with one frame per step and blocks of 256 samples, and check every captured sample.

    Exit code 1 if the capture differs from the input. Ctrl-C ends the run early and writes the results so far.

    Parameters
    ----------
    minutes
        Duration.
    busy
        Keep another core busy.
    jack
        Use JACK's dummy device, which has a strict clock, instead of PulseAudio's virtual devices.
    out
        Output folder for JSON, Markdown and plots.
    """
    _check("--minutes", minutes, 0.05)
    return _bench("soak").run(minutes, busy, jack, model, out)


def throughput(*, model: Model = None, compute: str = "cpu", hops: int = 1280, out: Path = OUT) -> int:
    """Measure the time per hop by stage and backend, and the speed on whole songs.

    Parameters
    ----------
    compute
        cpu, cuda or cuda:N.
    hops
        Number of hops, for each backend and chunk size.
    out
        Output folder for JSON, Markdown and plots.
    """
    _check("--hops", hops, 32)
    return _bench("throughput").run(model, compute, hops, out)


def memory(*, hours: float = 6.0, model: Model = None, out: Path = OUT) -> int:
    """Measure the memory of `rtsep separate` on a song of many hours, and with several options on a shorter one.

    Exit code 1 if it is more than 1500 MB. Needs 1.5 GB of disk for each hour.

    Parameters
    ----------
    hours
        Length of the song, made of the bundled one. Options are tried with a twelfth of it.
    out
        Output folder for JSON, Markdown and plots.
    """
    _check("--hours", hours, 0.05)
    return _bench("memory").run(model, hours, out)


def peers(*, install: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
          seconds: float = 10.0, model: Model = None, out: Path = OUT) -> int:  # fmt: skip
    """Measure other separators on the same audio, with one thread each. Those that are not installed are skipped.

    Parameters
    ----------
    install
        First install hs-tasnet, demucs or spleeter with pip into OUT/peers/NAME. Repeatable.
    seconds
        Length of the excerpt of the bundled song.
    out
        Output folder for JSON, Markdown and plots.
    """
    _check("--seconds", seconds, 1.0)
    return _bench("peers").run(install, seconds, model, out)


def runtimes(*, install: Flag = False, frames: int = 640, model: Model = None, out: Path = OUT) -> int:
    """Compare other runtimes for the network's step, in fp32, bf16 and int8, with rtsep's backends.

    Parameters
    ----------
    install
        First install them with pip into OUT/peers/runtimes.
    frames
        Number of frames of the bundled song, for each chunk size.
    out
        Output folder for JSON, Markdown and plots.
    """
    _check("--frames", frames, 320)
    return _bench("runtimes").run(install, frames, model, out)


def spleeter(*, install: Flag = False, seconds: float = 30.0, out: Path = OUT) -> int:
    """Compare Spleeter with rtsep on the same checkpoints, with random weights of 2, 4 and 5 stems.

    Exit code 1 if masks or waveforms differ by more than rounding errors.

    Parameters
    ----------
    install
        First install Spleeter with pip into OUT/peers/spleeter; more than 2 GB with TensorFlow.
    seconds
        Length of the excerpt of the bundled song.
    out
        Output folder for JSON and Markdown.
    """
    _check("--seconds", seconds, 1.0)
    return _bench("spleeter").run(install, seconds, out)


def networks(
    names: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    /,
    *,
    weights: str | None = None,
    data: Path | None = None,
    out: Path = OUT,
) -> int:
    """Measure the cost of each network: real-time factors on files and live, stride, lookahead, latency.

    Parameters
    ----------
    names
        Names or folders of models, with or without weights. Default: all, which takes minutes.
    weights
        A trained two-stem Spleeter model: instead of cost, measures the SDR with windows of several sizes.
    data
        Folder of songs for --weights: all in its folder `test`, or else those that the model's recipe holds out.
    out
        Output folder for JSON and Markdown.
    """
    if (weights is None) != (data is None):
        raise UsageError("--weights and --data must be used together: a model, and songs to evaluate it on")
    if weights is not None:
        return _bench("spleeter_windows").run(weights, data, out)
    return _bench("networks").run(names, out)


def model(
    name: str,
    /,
    *,
    data: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="")],
    minutes: float = 30.0,
    cache: Path = Path("runs/cache"),
    out: Path = OUT,
) -> int:
    """Check a model: speed, other input levels, silence, half an hour of streaming, pauses between phrases.

    Spectrograms are written to `pictures` in the model's folder.

    Parameters
    ----------
    name
        Name or folder of a model.
    data
        Folders of songs, as for rtsep eval; the held-out songs of the model's recipe are used.
    minutes
        Duration of streaming.
    cache
        Folder for decoded songs.
    out
        Output folder for JSON and Markdown.
    """
    _check("--minutes", minutes, 2.0)
    if not data:
        raise UsageError("--data: expected one or more folders")
    return _bench("model").run(name, data, minutes, cache, out)


def corrector(*, seconds: int = 120, out: Path = OUT) -> int:
    """Measure the cost of the clock corrector, and its precision on simulated clocks with an error of 200 ppm.

    Parameters
    ----------
    seconds
        Simulated time, for each of the sixteen runs of a case.
    out
        Output folder for JSON and Markdown.
    """
    _check("--seconds", seconds, 31)
    return _bench("corrector").run(seconds, out)


def _check(option: str, value: float, least: float) -> None:
    if not (math.isfinite(value) and value >= least):
        raise UsageError(f"{option} {value:g}: expected {least:g} or more")


def _bench(name: str) -> Any:
    """Return the module of a benchmark. Raises RtsepError without a checkout."""
    root = Path(rtsep.__file__).resolve().parent.parent
    if not (root / "benches" / "report.py").exists():
        raise RtsepError("rtsep bench needs a checkout of the repository: the installed package has no benchmarks")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module(f"benches.{name}")
