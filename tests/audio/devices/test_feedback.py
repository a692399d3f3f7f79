"""What is refused as a microphone before its own loudspeakers, by the names that systems really give."""

import pytest

from rtsep.audio.devices.discovery import Device
from rtsep.audio.devices.feedback import may_feed_back


def device(name: str, index: int) -> Device:
    return Device(index, name, "any", 2, 2, 44100.0, False, False)


@pytest.mark.parametrize(
    ("given", "taken"),
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
def test_the_microphone_of_the_same_device_is_refused(given: str, taken: str) -> None:
    assert may_feed_back(device(given, 0), device(taken, 1))


@pytest.mark.parametrize("name", ["default", "pulse", "HDA Intel PCH: ALC257 Analog (hw:0,0)", "USB Audio CODEC"])
def test_one_device_for_both_is_refused(name: str) -> None:
    assert may_feed_back(device(name, 3), device(name, 3))


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("Microphone (Realtek(R) Audio)", "Headphones (Realtek(R) Audio)"),
        ("Monitor of Built-in Audio", "Built-in Audio"),
        ("Stereo Mix (Realtek(R) Audio)", "Speakers (Realtek(R) Audio)"),
        ("Line In (Realtek(R) Audio)", "Speakers (Realtek(R) Audio)"),
        ("Speakers (Realtek(R) Audio) [Loopback]", "Speakers (Realtek(R) Audio)"),
        ("BlackHole 2ch", "MacBook Pro Speakers"),
        ("CABLE Output (VB-Audio Virtual Cable)", "Speakers (Realtek(R) Audio)"),
        ("MacBook Pro Microphone", "External Headphones"),
        ("Microphone (USB Podcast)", "Speakers (Realtek(R) Audio)"),
        ("Microphone", "Speakers"),  # says nothing
        ("rt_mic", "rt_out"),
        ("Microphone (Realtek High Defini", "Headphones (Realtek High Defini"),
        ("Microphone (Realtek USB Audio C", "Speakers (Realtek High Definiti"),
        ("Microphone (Realtek)", "Speakers (Realtek High Definiti"),  # another name, not a cut one
    ],
)
def test_what_hears_no_loudspeaker_of_its_own_is_let_through(given: str, taken: str) -> None:
    assert not may_feed_back(device(given, 0), device(taken, 1))


def test_a_loop_back_of_one_device_is_let_through() -> None:
    assert not may_feed_back(device("BlackHole 2ch", 2), device("BlackHole 2ch", 2))
