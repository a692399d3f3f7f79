"""`rtsep doctor`: what this machine has, how fast it separates, what is wrong and how to mend it."""

import importlib.metadata
import json as json_format
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

import rtsep
from rtsep.cli.arguments import Block, Flag
from rtsep.errors import RtsepError

if TYPE_CHECKING:
    from rtsep.engine.processor import Processor

_PACKAGES = ("numpy", "torch", "numba", "pyfftw", "sounddevice", "soundfile", "soxr", "av")
_OPTIONAL = ("av",)
_MEASURE_S = 2.5  # a chunk size and device
_SHARE_FOR_LIVE = 0.7  # of a hop's time that the slowest hundredth may take at K = 1


@dataclass(frozen=True)
class _Speed:
    """Time of one hop's share of a step; `realtime_factor` is what the median takes of a hop's duration.

    `way`: compiled, eager or graph, see `rtsep.engine.compute`.
    """

    compute: str
    way: str
    chunk: int
    hop_p50_ms: float
    hop_p99_ms: float
    realtime_factor: float


@dataclass
class _Report:
    versions: dict[str, str] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)
    devices: list[dict[str, Any]] = field(default_factory=list)
    model: str | None = None
    speed: list[_Speed] = field(default_factory=list)
    fastest_compute: str | None = None
    problems: list[str] = field(default_factory=list)


def doctor(
    *,
    loopback: Annotated[tuple[str, str] | None, Parameter(negative="")] = None,
    block: Annotated[
        Block, Parameter(help="Samples the devices give and take at once, 32 to 4096, for --loopback.")
    ] = 256,
    json: Flag = False,
) -> None:
    """Say what this machine has, how fast the default model runs on it, what is wrong and how to mend it.

    Takes about ten seconds. What is wrong is part of the report, not of the exit code.

    Parameters
    ----------
    loopback
        Measure nothing but the latency of two devices, INPUT OUTPUT, that a cable or loop-back joins: noise is played.
    json
        One JSON object on stdout.
    """
    if loopback is not None:
        _print_loopback(*loopback, block, json)
        return
    report = _Report()
    _look_at_versions(report)
    _look_at_devices(report)
    _look_at_speed(report)
    if json:
        print(json_format.dumps(asdict(report)))
    else:
        _print(report)


def _look_at_versions(report: _Report) -> None:
    report.versions = {"rtsep": rtsep.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            report.versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            report.versions[name] = "missing"
            if name in _OPTIONAL:
                report.versions[name] = "not installed; M4A files need it: pip install 'rtsep[aac]'"
            else:
                report.problems.append(f"{name} is not installed: pip install {name}")
    try:
        import pyfftw

        report.versions["fftw"] = str(pyfftw.fftw_version).split("-sse")[0]
    except (ImportError, OSError) as error:
        report.problems.append(f"FFTW does not load ({error}): pip install --force-reinstall pyfftw")
    from rtsep.dsp.priority import audio_rank
    from rtsep.engine.host import worker_rank

    report.system = {
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "usable_processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "audio_threads": audio_rank(),
        "worker": f"one thread on any usable processor, {worker_rank()}",
        "load_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _look_at_devices(report: _Report) -> None:
    from rtsep.audio.devices import list_devices, load_sounddevice

    try:
        found = list_devices()
        report.versions["portaudio"] = load_sounddevice().get_portaudio_version()[1]
    except RtsepError as error:
        report.problems.append(str(error))
        return
    report.devices = [asdict(device) for device in found]
    if not any(device.serves("output") for device in found):
        report.problems.append(
            "no sound output device, so rtsep play writes files: connect one, or start the sound server"
        )


def _look_at_speed(report: _Report) -> None:
    try:
        import torch

        from rtsep.bundle import find_bundle
        from rtsep.dsp.grid import HOP, SAMPLE_RATE
        from rtsep.engine.processor import Processor
        from rtsep.engine.stepping import load_stepper
    except (ImportError, OSError) as error:
        report.problems.append(f"the engine does not load ({error}): install rtsep again with its requirements")
        return
    hop_ms = 1000 * HOP / SAMPLE_RATE
    try:
        bundle = find_bundle()
        report.model = bundle.name
        for compute in ("cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))):
            for chunk in (1, 32):
                stepper = load_stepper(bundle, compute, chunk, live=True)
                p50, p99 = _measure(Processor(stepper), chunk)
                report.speed.append(
                    _Speed(compute, stepper.way, chunk, round(p50, 2), round(p99, 2), round(p50 / hop_ms, 3))
                )
    except RtsepError as error:
        report.problems.append(str(error))
        return
    live = {speed.compute: speed for speed in report.speed if speed.chunk == 1}
    report.fastest_compute = min(live, key=lambda compute: live[compute].hop_p99_ms)
    fastest = live[report.fastest_compute]
    if fastest.hop_p99_ms > _SHARE_FOR_LIVE * hop_ms:
        report.problems.append(
            f"too slow for one frame a step: {fastest.hop_p99_ms:.1f} of {hop_ms:.1f} ms for the slowest; "
            "close other programs, or use --chunk 8 or more"
        )


def _measure(processor: "Processor", chunk: int) -> tuple[float, float]:
    """Median and 99th percentile of the time that a hop costs, in milliseconds, at `chunk` hops a call."""
    import numpy as np

    from rtsep.dsp.grid import HOP

    samples = chunk * HOP
    mixture = np.random.default_rng(0).standard_normal((processor.channels, samples)).astype(np.float32) * 0.1
    out = np.empty((len(processor.stems), processor.channels, samples), np.float32)
    for _ in range(3):
        processor.process(mixture, out)
    times_ms = []
    end = time.perf_counter() + _MEASURE_S
    while time.perf_counter() < end:
        began = time.perf_counter()
        processor.process(mixture, out)
        times_ms.append(1000 * (time.perf_counter() - began) / chunk)
    p50, p99 = np.percentile(times_ms, (50, 99))
    return float(p50), float(p99)


def _print_loopback(given: str, taken: str, block: int, json: bool) -> None:
    from rtsep.audio.devices import find_device
    from rtsep.audio.loopback import measure_loopback
    from rtsep.cli.quiet import libraries_silenced

    with libraries_silenced():
        found = measure_loopback(find_device(given, "input"), find_device(taken, "output"), block)
    if json:
        print(json_format.dumps(asdict(found)))
        return
    stamped = "none" if found.stamped is None else f"{_ms(found.stamped)} ms"
    print(
        f"the devices take {_ms(found.measured)} ms ({found.measured} samples, spread {found.spread}) "
        f"at block {block} in {'one stream' if found.duplex else 'two streams'}; by time stamps {stamped}, "
        f"PortAudio says {_ms(found.reported)} ms"
    )


def _ms(samples: int) -> str:
    return f"{samples / 44.1:.1f}"


def _print(report: _Report) -> None:
    for name, version in report.versions.items():
        print(f"{name:12} {version}")
    for name, value in report.system.items():
        print(f"{name.replace('_', ' '):18} {value}")
    print(f"sound devices      {len(report.devices)}")
    for device in report.devices:
        print(f"    {device['index']:3}  {device['name']} ({device['outputs']} out, {device['inputs']} in)")
    if report.speed:
        print(f"speed of {report.model}:")
    for speed in report.speed:
        print(
            f"    {speed.compute} ({speed.way}), {speed.chunk} frame{'s' if speed.chunk > 1 else ''} a step: "
            f"a hop takes {speed.hop_p50_ms:.2f} ms, the slowest hundredth {speed.hop_p99_ms:.2f} ms "
            f"(real-time factor {speed.realtime_factor:.3f})"
        )
    if report.fastest_compute:
        print(f"fastest: --compute {report.fastest_compute}")
    print("nothing is wrong" if not report.problems else "to mend:")
    for problem in report.problems:
        print(f"    {problem}")
