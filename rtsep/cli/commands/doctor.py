"""`rtsep doctor`: what this machine has, how fast it separates, what is wrong and how to mend it."""

import importlib.metadata
import json as json_format
import os
import platform
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

import rtsep
from rtsep.cli.arguments import Block, Flag, Model
from rtsep.errors import RtsepError

if TYPE_CHECKING:
    from rtsep.cli.fitness import Advice, Speed

_PACKAGES = ("numpy", "torch", "numba", "pyfftw", "sounddevice", "soundfile", "soxr", "av")
_OPTIONAL = ("av",)


@dataclass
class _Report:
    versions: dict[str, str] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)
    devices: list[dict[str, Any]] = field(default_factory=list)
    model: str | None = None
    speed: "list[Speed]" = field(default_factory=list)
    fastest_compute: str | None = None
    advice: "Advice | None" = None
    problems: list[str] = field(default_factory=list)


def doctor(
    *,
    model: Model = None,
    loopback: Annotated[tuple[str, str] | None, Parameter(negative="")] = None,
    block: Annotated[
        Block, Parameter(help="Samples the devices give and take at once, 32 to 4096, for --loopback.")
    ] = 256,
    json: Flag = False,
) -> None:
    """Say what this machine has, how fast a model runs on it and is played best, what is wrong and how to mend it.

    Takes about ten seconds. What is wrong is part of the report, not of the exit code. A model may be asked for whose
    weights are not here: its time does not depend on them.

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
    _look_at_speed(report, model)
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
    from rtsep.engine.live_engine import worker_priority
    from rtsep.system.priority import audio_priority

    report.system = {
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "usable_processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "audio_threads": audio_priority(),
        "worker": f"one thread on any usable processor, {worker_priority()}",
        "load_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _look_at_devices(report: _Report) -> None:
    from rtsep.audio.devices.discovery import list_devices, load_sounddevice

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


def _look_at_speed(report: _Report, model: str | None) -> None:
    try:
        from rtsep.cli.fitness import judge
    except (ImportError, OSError) as error:
        report.problems.append(f"the engine does not load ({error}): install rtsep again with its requirements")
        return
    try:
        found = judge(model)
    except RtsepError as error:
        report.problems.append(str(error))
        return
    report.model, report.speed, report.advice = found.model, found.speed, found.advice
    report.fastest_compute = found.fastest_compute
    if found.problem:
        report.problems.append(found.problem)


def _print_loopback(given: str, taken: str, block: int, json: bool) -> None:
    from rtsep.audio.devices.discovery import find_device
    from rtsep.audio.streams.loopback import measure_loopback
    from rtsep.system.native_output import libraries_silenced

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
    if report.advice:
        _print_advice(report.model, report.advice)
    print("nothing is wrong" if not report.problems else "to mend:")
    for problem in report.problems:
        print(f"    {problem}")


_WAYS = {
    "live": "rtsep live, rtsep play",
    "play": "rtsep play, not rtsep live",
    "ahead": "rtsep play --ahead",
}


def _print_advice(model: str | None, advice: "Advice") -> None:
    print(f"{model}: {_WAYS[advice.way]}: {advice.why}")
    if advice.latency_ms is None:
        return
    window = "" if advice.window is None else f"windows of {advice.window} frames, "
    print(
        f"    {window}stride {advice.stride}, lookahead {advice.lookahead}: {advice.latency_ms:.0f} ms of standard "
        f"latency, and {advice.longest_step_ms:.0f} ms for the longest step"
    )
