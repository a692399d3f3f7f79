"""What is refused as feedback, by the names that systems really give."""

import subprocess

import pytest

from rtsep.audio.devices.discovery import Device
from rtsep.audio.devices.feedback import feedback_risk
from rtsep.audio.devices.sound_server import server_default
from tests.virtual_audio import VirtualAudio


def device(name: str, index: int) -> Device:
    return Device(index, name, "any", 2, 2, 44100.0, False, False)


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        ("MacBook Pro Microphone", "MacBook Pro Speakers"),
        ("Microphone (Realtek(R) Audio)", "Speakers (Realtek(R) Audio)"),
        ("Microphone Array (Realtek High Definition Audio)", "Speakers (Realtek High Definition Audio)"),
        # As MME cuts them, at 31 characters.
        ("Microphone (Realtek High Defini", "Speakers (Realtek High Definiti"),
        ("Microphone Array (Realtek High ", "Speakers (Realtek High Definiti"),
        ("Microphone (Realtek High Defini", "Speakers (Realtek High Definition Audio)"),
        ("Microphone (Realtek High Definition Audio)", "Speakers (Realtek High Definiti"),
    ],
)
def test_the_microphone_of_the_same_device_is_refused(source: str, sink: str) -> None:
    assert "would pick up" in (feedback_risk(device(source, 0), device(sink, 1)) or "")


@pytest.mark.parametrize("name", ["default", "pulse", "HDA Intel PCH: ALC257 Analog (hw:0,0)", "USB Audio CODEC"])
def test_one_device_for_both_is_refused(name: str) -> None:
    assert "would pick up" in (feedback_risk(device(name, 3), device(name, 3)) or "")


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        ("Microphone (Realtek(R) Audio)", "Headphones (Realtek(R) Audio)"),
        ("Line In (Realtek(R) Audio)", "Speakers (Realtek(R) Audio)"),
        ("BlackHole 2ch", "MacBook Pro Speakers"),
        ("CABLE Output (VB-Audio Virtual Cable)", "Speakers (Realtek(R) Audio)"),
        ("Monitor of Built-in Audio", "USB Headset"),
        ("rt_48k.monitor", "rt_out"),
        ("Stereo Mix (Realtek(R) Audio)", "Speakers (USB Audio)"),
        ("Speakers (Realtek(R) Audio) [Loopback]", "Speakers (USB Audio)"),
        ("Loopback: PCM (hw:2,0)", "HDA Intel PCH: ALC257 Analog (hw:0,0)"),
        ("Loopback: PCM (hw:2,0)", "Loopback: PCM (hw:2,0)"),  # its two ends are crossed
        ("MacBook Pro Microphone", "External Headphones"),
        ("Microphone (USB Podcast)", "Speakers (Realtek(R) Audio)"),
        ("Microphone", "Speakers"),  # says nothing
        ("rt_mic", "rt_out"),
        ("Microphone (Realtek High Defini", "Headphones (Realtek High Defini"),
        ("Microphone (Realtek USB Audio C", "Speakers (Realtek High Definiti"),
        ("Microphone (Realtek)", "Speakers (Realtek High Definiti"),  # another name, not a cut one
    ],
)
def test_what_hears_no_loudspeaker_of_its_own_is_let_through(source: str, sink: str) -> None:
    assert feedback_risk(device(source, 0), device(sink, 1)) is None


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        ("rt_out_monitor", "rt_out"),
        ("rt_out.monitor", "rt_out"),
        ("Monitor of Built-in Audio Analog Stereo", "Built-in Audio Analog Stereo"),
        ("Moniteur de Audio interne", "Audio interne"),
        ("Built-in Audio Analog Stereo Monitor", "Built-in Audio Analog Stereo"),
        ("Monitor of Headphones", "Headphones"),
        ("Stereo Mix (Realtek(R) Audio)", "Speakers (Realtek(R) Audio)"),
        ("Stereo Mix (Realtek(R) Audio)", "Headphones (Realtek(R) Audio)"),
        ("Stereo Mix (Realtek High Defini", "Speakers (Realtek High Definition Audio)"),
        ("Speakers (Realtek(R) Audio) [Loopback]", "Speakers (Realtek(R) Audio)"),
        ("What U Hear (Sound Blaster Z)", "Speakers (Sound Blaster Z)"),
        ("CABLE Output (VB-Audio Virtual Cable)", "CABLE Input (VB-Audio Virtual Cable)"),
        ("Loopback: PCM (hw:2,1)", "Loopback: PCM (hw:2,0)"),
    ],
)
def test_a_recording_of_the_very_output_is_refused(source: str, sink: str) -> None:
    risk = feedback_risk(device(source, 0), device(sink, 1))
    assert risk == f'"{source}" records what "{sink}" plays, which is a feedback loop'


@pytest.mark.parametrize("name", ["BlackHole 2ch", "Loopback Audio", "Soundflower (64ch)"])
def test_one_virtual_cable_for_both_is_refused(name: str) -> None:
    assert "records what" in (feedback_risk(device(name, 2), device(name, 2)) or "")


def test_the_defaults_of_a_sound_server_are_known_by_their_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSE_SOURCE", "alsa_output.usb.monitor")
    monkeypatch.setenv("PULSE_SINK", "alsa_output.usb")
    assert "records what" in (feedback_risk(device("default", 3), device("default", 3)) or "")
    assert "records what" in (feedback_risk(device("pulse", 3), device("alsa_output.usb", 4)) or "")
    assert "records what" in (feedback_risk(device("alsa_output.usb.monitor", 3), device("pipewire", 4)) or "")
    monkeypatch.setenv("PULSE_SINK", "alsa_output.pci")
    assert feedback_risk(device("default", 3), device("default", 3)) is None


def test_the_server_is_asked_for_its_defaults(virtual_audio: VirtualAudio) -> None:
    subprocess.run(["pactl", "set-default-source", "rt_out.monitor"], check=True, timeout=10)
    try:
        assert server_default("output") == "rt_out"
        assert "records what" in (feedback_risk(device("default", 3), device("rt_out", 4)) or "")
    finally:
        subprocess.run(["pactl", "set-default-source", "rt_mic"], check=True, timeout=10)
