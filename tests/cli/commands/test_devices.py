"""`rtsep devices`."""

import json
import subprocess
import sys

import pytest

from rtsep.audio.devices.discovery import Device
from rtsep.cli.main import main

SHELF = [
    Device(2, "Speakers", "ALSA", 0, 2, 48000.0, False, True),
    Device(5, "Headset", "ALSA", 1, 2, 44100.0, True, False),
]


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtsep.audio.devices.discovery.list_devices", lambda: SHELF)


@pytest.mark.usefixtures("shelf")
def test_a_line_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "  2  Speakers (ALSA)  0 in, 2 out, 48000 Hz  [default output]",
        "  5  Headset (ALSA)  1 in, 2 out, 44100 Hz  [default input]",
    ]


@pytest.mark.usefixtures("shelf")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["index"] for entry in found] == [2, 5]
    assert found[0]["is_default_output"] is True
    assert found[1]["name"] == "Headset"


def test_real_devices(virtual_audio: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--json"]) == 0
    assert {"rt_out", "rt_out_monitor", "rt_mic"} <= {entry["name"] for entry in json.loads(capsys.readouterr().out)}


def test_no_device_is_data_too(silent_environment: dict[str, str]) -> None:
    words = [sys.executable, "-m", "rtsep", "devices", "--json"]
    done = subprocess.run(words, env=silent_environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)
