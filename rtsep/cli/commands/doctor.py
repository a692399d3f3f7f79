"""`rtsep doctor`: what this machine has, how fast it separates, and how to fix what is wrong."""

from __future__ import annotations

import importlib.metadata
import json as json_format
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

import rtsep
from rtsep.cli.arguments import Block, Flag, Model
from rtsep.errors import RtsepError, one_line
from rtsep.timebase import SAMPLE_RATE
from rtsep.ui.console import put

if TYPE_CHECKING:
    from rtsep.cli.model_speed import Advice, Speed

PACKAGES = ("numpy", "numba", "pyfftw", "sounddevice", "soundfile", "soxr", "torch", "av")
OPTIONAL = {
    "torch": "not installed; needed for training, CUDA and most imported models: pip install 'rtsep[torch]'",
    "av": "not installed; needed for M4A, WebM, WMA and damaged files: pip install 'rtsep[aac]'",
}


@dataclass
class Report:
    """What was found. `problems` are texts that end with a remedy."""

    versions: dict[str, str] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)
    devices: list[dict[str, Any]] = field(default_factory=list)
    model: str | None = None
    speed: list[Speed] = field(default_factory=list)
    fastest_compute: str | None = None
    advice: Advice | None = None
    problems: list[str] = field(default_factory=list)

    def check(self, what: str, check: Callable[[], None]) -> None:
        """Run one check. If it fails, that is a finding, and the other checks still run."""
        try:
            check()
        except RtsepError as error:
            self.problems.append(str(error))
        except Exception as error:  # whatever is broken here is what the user wants to know
            self.problems.append(f"cannot check {what}: {type(error).__name__}: {one_line(error)}")


def doctor(
    *,
    model: Model = None,
    loopback: Annotated[tuple[str, str] | None, Parameter(negative="")] = None,
    block: Annotated[Block, Parameter(help="Audio block size in samples, 32 to 4096, for --loopback.")] = 256,
    json: Flag = False,
) -> None:
    """Check this machine: versions, audio devices, speed of a model, problems and how to fix them.

    Takes about ten seconds. Problems do not change the exit code. The model need not have weights.

    Parameters
    ----------
    loopback
        Only measure the latency from device OUTPUT to device INPUT, connected by a cable or a loopback device. Plays
        noise.
    json
        Print one JSON object.
    """
    if loopback is not None:
        _print_loopback(*loopback, block, json)
        return
    report = Report()
    report.check("installed packages", lambda: _check_packages(report))
    report.check("FFTW", lambda: _check_fftw(report))
    report.check("the system", lambda: _check_system(report))
    report.check("thread priorities", lambda: _check_priorities(report))
    report.check("audio devices", lambda: _check_devices(report))
    report.check("the speed of the model", lambda: _check_speed(report, model))
    if json:
        put(json_format.dumps(asdict(report)))
    else:
        _print(report)


def _check_packages(report: Report) -> None:
    report.versions = {"rtsep": rtsep.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            report.versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            report.versions[name] = OPTIONAL.get(name, "not installed")
            if name not in OPTIONAL:
                report.problems.append(f"{name} is not installed: pip install {name}")


def _check_fftw(report: Report) -> None:
    try:
        import pyfftw
    except (ImportError, OSError) as error:
        raise RtsepError(f"FFTW cannot be loaded ({one_line(error)}): pip install --force-reinstall pyfftw") from error
    report.versions["fftw"] = str(pyfftw.fftw_version).split("-sse")[0]


def _check_system(report: Report) -> None:
    report.system |= {
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "usable_processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _check_priorities(report: Report) -> None:
    from rtsep.engine.live_engine import worker_priority
    from rtsep.system.priority import audio_priority

    report.system |= {
        "audio_threads": audio_priority(),
        "worker": f"one thread on any usable processor, {worker_priority()}",
    }


def _check_devices(report: Report) -> None:
    from rtsep.audio.devices.discovery import list_devices, load_sounddevice

    found = list_devices()
    report.devices = [asdict(device) for device in found]
    report.versions["portaudio"] = load_sounddevice().get_portaudio_version()[1]
    if not any(device.serves("output") for device in found):
        raise RtsepError("no audio output device, so rtsep play writes files: connect one, or start the sound server")


def _check_speed(report: Report, model: str | None) -> None:
    try:
        from rtsep.cli.model_speed import measure_model
    except (ImportError, OSError) as error:
        raise RtsepError(f"the engine cannot be loaded ({one_line(error)}): reinstall rtsep") from error
    found = measure_model(model)
    report.model, report.speed, report.advice = found.model, found.speed, found.advice
    report.fastest_compute = found.fastest_compute
    if found.problem:
        report.problems.append(found.problem)


def _print_loopback(input: str, output: str, block: int, json: bool) -> None:
    from rtsep.audio.devices.discovery import find_device
    from rtsep.audio.streams.loopback import measure_loopback
    from rtsep.system.native_output import libraries_silenced

    with libraries_silenced():
        found = measure_loopback(find_device(input, "input"), find_device(output, "output"), block)
    if json:
        put(json_format.dumps(asdict(found)))
        return
    stamped = "none" if found.stamped is None else f"{_ms(found.stamped)} ms"
    put(
        f"device latency: {_ms(found.measured)} ms measured ({found.measured} samples, spread {found.spread}) "
        f"at block {block} in {'one stream' if found.duplex else 'two streams'}; from time stamps: {stamped}; "
        f"reported by PortAudio: {_ms(found.reported)} ms"
    )


def _ms(samples: int) -> str:
    return f"{1000 * samples / SAMPLE_RATE:.1f}"


def _print(report: Report) -> None:
    for name, version in report.versions.items():
        put(f"{name:12} {version}")
    for name, value in report.system.items():
        put(f"{name.replace('_', ' '):18} {value}")
    put(f"audio devices      {len(report.devices)}")
    for device in report.devices:
        put(f"    {device['index']:3}  {device['name']} ({device['outputs']} out, {device['inputs']} in)")
    if report.speed:
        put(f"speed of {report.model}:")
    for speed in report.speed:
        put(
            f"    {speed.compute} ({speed.way}), {speed.chunk} frame{'s' if speed.chunk > 1 else ''} per step: "
            f"{speed.hop_p50_ms:.2f} ms per hop, 99th percentile {speed.hop_p99_ms:.2f} ms "
            f"(real-time factor {speed.realtime_factor:.3f})"
        )
    if report.fastest_compute:
        put(f"fastest: --compute {report.fastest_compute}")
    if report.advice:
        _print_advice(report.model, report.advice)
    put("to fix:" if report.problems else "no problems found")
    for problem in report.problems:
        put(f"    {problem}")


_COMMANDS = {
    "live": "suits rtsep live and rtsep play",
    "play": "suits rtsep play, not rtsep live",
    "ahead": "needs rtsep play --ahead",
}


def _print_advice(model: str | None, advice: Advice) -> None:
    put(f"{model} {_COMMANDS[advice.way]}: {advice.why}")
    if advice.latency_ms is None:
        return
    window = "" if advice.window is None else f"windows of {advice.window} frames, "
    put(
        f"    {window}stride {advice.stride}, lookahead {advice.lookahead}: {advice.latency_ms:.0f} ms standard "
        f"latency, longest step {advice.longest_step_ms:.0f} ms"
    )
