"""`rtsep doctor`: versions, devices, measured speed, and a remedy for each problem."""

import importlib.metadata
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import rtsep
from rtsep.audio.devices.discovery import Device
from rtsep.cli.main import main
from rtsep.errors import RtsepError

SPEAKERS = Device(2, "Speakers", "ALSA", 0, 2, 48000.0, False, True)


@pytest.fixture(autouse=True)
def quick_and_small(monkeypatch: pytest.MonkeyPatch, constant_bundle: Callable[..., Path], tmp_path: Path) -> None:
    """A default model without weights, one output device, and short measurements."""
    folder = tmp_path / "models"
    folder.mkdir()
    constant_bundle(vocals=0.5, other=0.5).rename(folder / "frame-transformer-2stems")
    monkeypatch.setattr("rtsep.bundle.bundle_folders", lambda: [folder])
    monkeypatch.setattr("rtsep.audio.devices.discovery.list_devices", lambda: [SPEAKERS])
    monkeypatch.setattr("rtsep.cli.model_speed.MEASURE_S", 0.1)


def report(capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["doctor", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_healthy_machine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtsep.cli.model_speed.MAX_LOAD", 1e9)  # a busy machine is no failure of this test
    found = report(capsys)
    assert found["problems"] == []
    assert found["versions"]["rtsep"] == rtsep.__version__
    assert found["versions"]["torch"] == importlib.metadata.version("torch")
    assert {"python", "numpy", "numba", "sounddevice", "portaudio", "fftw"} <= set(found["versions"])
    assert found["devices"][0]["name"] == "Speakers"
    assert found["model"] == "frame-transformer-2stems"
    measured = [(speed["compute"], speed["chunk"]) for speed in found["speed"]]
    assert measured[:2] == [("cpu", 1), ("cpu", 32)]
    for speed in found["speed"]:
        assert speed["way"] == ("constant" if speed["compute"] == "cpu" else "graph")
        assert 0 < speed["hop_p50_ms"] <= speed["hop_p99_ms"]
        assert speed["realtime_factor"] == pytest.approx(speed["hop_p50_ms"] / 23.22, abs=2e-3)
    assert "torch_threads" not in found["system"], "the worker has one, whatever PyTorch would take here"
    assert found["system"]["worker"].startswith("one thread")
    assert found["fastest_compute"] in {speed["compute"] for speed in found["speed"]}
    assert main(["doctor"]) == 0
    assert "no problems found" in capsys.readouterr().out


def test_portaudio_prints_nothing_during_a_loopback(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        os.write(2, b"Expression 'paInvalidSampleRate' failed\n")  # as C does
        raise RtsepError("cannot open it")

    monkeypatch.setattr("rtsep.audio.devices.discovery.find_device", lambda *_: SPEAKERS)
    monkeypatch.setattr("rtsep.audio.streams.loopback.measure_loopback", fail)
    assert main(["doctor", "--loopback", "in", "out"]) == 1
    assert capfd.readouterr() == ("", "rtsep: cannot open it\n")


def test_a_missing_device_has_a_remedy(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtsep.audio.devices.discovery.list_devices", list)
    assert "no audio output device" in report(capsys)["problems"][0]
    assert main(["doctor"]) == 0
    assert "to fix:\n    no audio output device" in capsys.readouterr().out


def test_missing_portaudio_does_not_stop_the_other_checks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> list[Device]:
        raise RtsepError("the PortAudio library is missing: apt-get install libportaudio2")

    monkeypatch.setattr("rtsep.audio.devices.discovery.list_devices", refuse)
    found = report(capsys)
    assert "apt-get install libportaudio2" in found["problems"][0]
    assert found["speed"]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ("importlib.metadata.version", "cannot check installed packages: RuntimeError: it"),
        ("platform.platform", "cannot check the system: RuntimeError: it"),
        ("rtsep.engine.live_engine.worker_priority", "cannot check thread priorities: RuntimeError: it"),
        ("rtsep.audio.devices.discovery.list_devices", "cannot check audio devices: RuntimeError: it"),
        ("rtsep.cli.model_speed.measure_model", "cannot check the speed of the model: RuntimeError: it"),
    ],
)
def test_a_check_that_fails_is_a_finding_and_the_others_still_run(
    broken: str, problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("it\nis broken")

    monkeypatch.setattr("rtsep.cli.model_speed.MAX_LOAD", 1e9)
    monkeypatch.setattr(broken, fail)
    found = report(capsys)
    assert found["problems"] == [f"{problem} is broken"]
    parts = {"packages": "numpy" in found["versions"], "speed": bool(found["speed"]), "devices": bool(found["devices"])}
    assert sum(parts.values()) + ("platform" in found["system"]) + ("worker" in found["system"]) == 4
    assert main(["doctor"]) == 0
    assert f"to fix:\n    {problem} is broken" in capsys.readouterr().out


def test_a_broken_model_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "models" / "frame-transformer-2stems" / "recipe.toml").write_text("stems = 3\n")
    found = report(capsys)
    assert "recipe.toml" in found["problems"][0]
    assert found["speed"] == []


def test_a_machine_too_slow_for_live_is_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtsep.cli.model_speed.measure_hop", lambda processor, chunk, stride: (15.0, 30.0, 16.0))
    found = report(capsys)
    assert "30.0 of 23.2 ms" in found["problems"][0]
    assert "--chunk 8" in found["problems"][0]
    assert found["speed"][0]["realtime_factor"] == pytest.approx(15.0 / 23.22, abs=1e-3)


WINDOWED = """name = "windows"
network = "rtsep.nn.spleeter:Spleeter"
stems = ["vocals", "instrumental"]
[stft]
bins = 16
[net]
filters = [2, 3]
[window]
frames = 128
stride = 128
[live]
frames = 8
stride = 4
lookahead = 3
fade = 2
"""


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    """A model with windows and without weights."""
    folder = tmp_path / "models" / "windows"
    folder.mkdir()
    (folder / "recipe.toml").write_text(WINDOWED)
    return folder


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("longest_ms", "mean_ms", "way", "why"),
    [(40.0, 10.0, "live", "keeps up"), (300.0, 10.0, "play", "250 ms"), (100.0, 25.0, "ahead", "factor 1.077")],
)
def test_advice_for_a_model_with_windows(
    longest_ms: float, mean_ms: float, way: str, why: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "rtsep.cli.model_speed.measure_hop", lambda processor, chunk, stride: (0.1, longest_ms, mean_ms)
    )
    assert main(["doctor", "--model", "windows", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert [speed["chunk"] for speed in found["speed"]] == [1] * len(found["speed"])
    advice = found["advice"]
    assert advice["way"] == way
    assert why in advice["why"]
    if way != "ahead":
        assert [advice[key] for key in ("window", "stride", "lookahead")] == [8, 4, 3]
        assert advice["latency_ms"] == pytest.approx(1000 * (4096 + 6 * 1024) / 44100, abs=0.1)


def test_where_the_shortest_delay_is_too_much_work_the_next_one_is_measured(
    windows: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    several = "".join(f"[[live]]\nframes = 8\nstride = {stride}\n" for stride in (4, 1, 2))
    (windows / "recipe.toml").write_text(WINDOWED.partition("[live]")[0] + several)
    monkeypatch.setattr(
        "rtsep.cli.model_speed.measure_hop", lambda processor, chunk, stride: (22.0 / stride, 40.0, 22.0 / stride)
    )
    assert main(["doctor", "--model", "windows", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert (found["advice"]["way"], found["advice"]["stride"]) == ("live", 2)
    assert found["speed"][0]["realtime_factor"] == pytest.approx(11 / 23.22, abs=1e-3)


@pytest.mark.usefixtures("windows")
def test_windows_are_measured_in_whole_strides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--model", "windows", "--json"]) == 0
    for speed in json.loads(capsys.readouterr().out)["speed"]:
        assert speed["hop_p99_ms"] > speed["hop_p50_ms"], "one hop of a stride has all the work"
        assert speed["realtime_factor"] > 0
    assert main(["doctor", "--model", "windows"]) == 0
    assert "windows suits rtsep " in capsys.readouterr().out


def test_a_model_with_too_much_lookahead_needs_ahead(windows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (windows / "recipe.toml").write_text(WINDOWED.partition("[live]")[0])
    assert main(["doctor", "--model", "windows"]) == 0
    said = capsys.readouterr().out
    assert "windows needs rtsep play --ahead: the network's lookahead is 127 frames" in said
    assert "no problems found" in said
