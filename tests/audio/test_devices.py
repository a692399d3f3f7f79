"""Which sound device a user means, and what is said when there is none."""

import subprocess
import sys

import pytest

from rtsep.audio import devices
from rtsep.audio.devices import Device, find_device, list_devices
from rtsep.errors import RtsepError


def _device(index: int, name: str, inputs: int = 0, outputs: int = 2, default: bool = False) -> Device:
    return Device(index, name, "ALSA", inputs, outputs, 44100.0, default and inputs > 0, default and outputs > 0)


SHELF = [
    _device(0, "HDA Intel: Analog (hw:0,0)", inputs=2),
    _device(1, "USB Mic", inputs=1, outputs=0),
    _device(3, "USB Headset"),
    _device(4, "USB Headset Pro"),
    _device(7, "usb headset"),
    _device(9, "pulse", inputs=32, outputs=32, default=True),
    _device(12, "7"),
]


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "list_devices", lambda: SHELF)


@pytest.mark.usefixtures("shelf")
class TestFindDevice:
    @pytest.mark.parametrize(
        ("wanted", "index"),
        [
            (None, 9),
            (0, 0),
            ("4", 4),
            (" 9 ", 9),
            ("7", 7),  # a number is an index before it is a name
            ("USB Headset", 3),  # exact wins over part, with its case
            ("usb headset", 7),
            ("PULSE", 9),
            ("pro", 4),
            ("analog", 0),
            ("hw:0", 0),
        ],
    )
    def test_by_index_exact_name_or_unique_part(self, wanted: str | int | None, index: int) -> None:
        assert find_device(wanted).index == index

    @pytest.mark.parametrize("wanted", ["USB", "Usb He", "e"])
    def test_several_matches_are_listed(self, wanted: str) -> None:
        with pytest.raises(
            RtsepError, match=r"several devices.*3 USB Headset.*4 USB Headset Pro.*7 usb headset"
        ) as caught:
            find_device(wanted)
        assert "\n" not in str(caught.value)
        assert "1 USB Mic" not in str(caught.value), "a microphone is no place to play to"

    @pytest.mark.parametrize("wanted", ["sofa", "", 2, "99"])
    def test_no_match_tells_what_there_is(self, wanted: str | int) -> None:
        with pytest.raises(RtsepError, match=r"there is: 0 HDA.*12 7"):
            find_device(wanted)

    def test_the_kind_must_fit(self) -> None:
        assert find_device("mic", "input").index == 1
        with pytest.raises(RtsepError, match="has no outputs"):
            find_device(1)
        with pytest.raises(RtsepError, match='no output device is called "mic"'):
            find_device("mic")

    def test_without_a_default_the_first_able_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(devices, "list_devices", lambda: SHELF[1:4])
        assert find_device(None).index == 3

    def test_no_device_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(devices, "list_devices", lambda: SHELF[1:2])
        with pytest.raises(RtsepError, match="no sound output device"):
            find_device(None)


def test_a_missing_portaudio_library_says_how_to_install_it() -> None:
    program = (
        "import ctypes.util, rtsep.audio.devices as d\n"
        "ctypes.util.find_library = lambda name: None\n"
        "try: d.list_devices()\n"
        "except d.RtsepError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "apt-get install libportaudio2" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1


def test_real_devices_are_found_by_name(virtual_audio: object) -> None:
    names = [device.name for device in list_devices()]
    assert {"rt_out", "rt_out_monitor", "rt_mic"} <= set(names)
    assert find_device("rt_out").name == "rt_out", "an exact name that is part of another"
    assert find_device("out_mon", "input").name == "rt_out_monitor"
    assert find_device(names.index("rt_mic"), "input").name == "rt_mic"
    assert find_device(None).is_default_output
    with pytest.raises(RtsepError, match=r"rt_out.*rt_mic_feed"):
        find_device("rt_")


def test_no_device_is_one_line(silent_environment: dict[str, str]) -> None:
    program = (
        "import rtsep.audio.devices as d\n"
        "print([x for x in d.list_devices() if x.serves('input')])\n"
        "try: d.find_device(None, 'input')\n"
        "except d.RtsepError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=silent_environment
    )
    assert "no sound input device" in done.stdout, (done.stdout, done.stderr)
