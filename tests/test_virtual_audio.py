"""The virtual devices themselves: without them sound, nothing that is heard through them proves anything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.virtual_audio import VirtualAudio


def _devices_of_a_child(environment: dict[str, str] | None = None) -> set[str]:
    code = "import sounddevice as sd; print(*(d['name'] for d in sd.query_devices()), sep='\\n')"
    command = [sys.executable, "-c", code]
    child = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return set(child.stdout.split("\n"))


@pytest.mark.usefixtures("virtual_audio")
def test_process_and_children_see_the_devices() -> None:
    import sounddevice

    expected = {"rt_out", "rt_out_monitor", "rt_48k", "rt_four", "rt_mic", "rt_mic_feed", "default"}
    assert expected <= {device["name"] for device in sounddevice.query_devices()}
    assert expected <= _devices_of_a_child()


@pytest.mark.usefixtures("virtual_audio")
def test_silent_environment_has_no_devices(silent_environment: dict[str, str]) -> None:
    assert _devices_of_a_child(silent_environment) == {""}


def test_server_dies_and_returns(virtual_audio: VirtualAudio) -> None:
    virtual_audio.kill()
    assert subprocess.run(["pactl", "info"], capture_output=True).returncode != 0
    virtual_audio.restart()
    assert subprocess.run(["pactl", "info"], capture_output=True).returncode == 0


def test_two_servers_at_once_do_not_meet(virtual_audio: VirtualAudio) -> None:
    other = VirtualAudio()
    try:
        other.start()
        assert other.environment["PULSE_SERVER"] != virtual_audio.environment["PULSE_SERVER"]
    finally:
        other.stop()
    assert not other.folder.exists()
    assert subprocess.run(["pactl", "info"], capture_output=True).returncode == 0
