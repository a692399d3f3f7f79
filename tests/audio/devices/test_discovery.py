"""Which sound device a user means, and what is said when there is none."""

import subprocess
import sys

import pytest

from rtsep.audio.devices import discovery as devices
from rtsep.audio.devices.discovery import Device, find_device, list_devices
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
        with pytest.raises(RtsepError, match=r"available: 0 HDA.*12 7"):
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


# As Windows lists two devices and VB-Cable.
MME, DIRECT, WASAPI, WDM = "MME", "Windows DirectSound", "Windows WASAPI", "Windows WDM-KS"
WINDOWS = [
    Device(0, "Microsoft Sound Mapper - Input", MME, 2, 0, 44100.0, False, False),
    Device(1, "Microphone (Realtek High Defini", MME, 2, 0, 44100.0, True, False),
    Device(2, "CABLE Output (VB-Audio Virtual ", MME, 2, 0, 44100.0, False, False),
    Device(3, "Microsoft Sound Mapper - Output", MME, 0, 2, 44100.0, False, False),
    Device(4, "Speakers (Realtek High Definiti", MME, 0, 2, 44100.0, False, True),
    Device(5, "CABLE Input (VB-Audio Virtual C", MME, 0, 2, 44100.0, False, False),
    Device(6, "Microphone (Realtek High Definition Audio)", DIRECT, 2, 0, 44100.0, False, False),
    Device(7, "CABLE Output (VB-Audio Virtual Cable)", DIRECT, 2, 0, 44100.0, False, False),
    Device(8, "Speakers (Realtek High Definition Audio)", DIRECT, 0, 2, 44100.0, False, False),
    Device(9, "Speakers (Realtek High Definition Audio)", WASAPI, 0, 2, 48000.0, False, False),
    Device(10, "CABLE Input (VB-Audio Virtual Cable)", WASAPI, 0, 2, 48000.0, False, False),
    Device(11, "Microphone (Realtek High Definition Audio)", WASAPI, 2, 0, 48000.0, False, False),
    Device(12, "CABLE Output (VB-Audio Virtual Cable)", WASAPI, 2, 0, 48000.0, False, False),
    Device(13, "CABLE Output (VB-Audio Point)", WDM, 8, 0, 44100.0, False, False),
    Device(14, "Stereo Mix (Realtek HD Audio Stereo input)", WDM, 2, 0, 48000.0, False, False),
]


class TestADeviceUnderSeveralHostApis:
    @pytest.mark.parametrize(
        ("wanted", "kind", "index"),
        [
            ("CABLE Output", "input", 12),
            ("CABLE Output (VB-Audio Virtual Cable)", "input", 12),
            ("CABLE Input", "output", 10),
            ("speakers", "output", 9),
            (None, "input", 11),
            (None, "output", 9),
            ("Stereo Mix", "input", 14),  # nowhere else
            ("Speakers (Realtek High Definiti", "output", 4),  # exactly MME's
            ("CABLE Output, MME", "input", 2),
            ("cable output,directsound", "input", 7),
            ("2", "input", 2),
        ],
    )
    def test_is_one_device(
        self, monkeypatch: pytest.MonkeyPatch, wanted: str | None, kind: devices.Direction, index: int
    ) -> None:
        monkeypatch.setattr(devices, "list_devices", lambda: WINDOWS)
        assert find_device(wanted, kind).index == index

    def test_is_the_default_host_api_s_where_there_is_no_wasapi(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(devices, "list_devices", lambda: [d for d in WINDOWS if d.host_api in (MME, DIRECT)])
        assert find_device("CABLE Output", "input").index == 2
        assert find_device("realtek", "output").index == 4
        assert find_device(None).index == 4

    def test_two_devices_of_one_kind_are_still_two(self, monkeypatch: pytest.MonkeyPatch) -> None:
        twin = Device(15, "Speakers (Realtek High Definition Audio)", WASAPI, 0, 2, 48000.0, False, False)
        monkeypatch.setattr(devices, "list_devices", lambda: [*WINDOWS, twin])
        with pytest.raises(RtsepError, match="matches several devices.*: 9 Speakers.*, 15 Speakers"):
            find_device("speakers")
        assert find_device(None).index == 4, "which of both it is, the host API of the default knows"

    def test_a_host_api_alone_is_no_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(devices, "list_devices", lambda: WINDOWS)
        for wanted in (", MME", "CABLE Output,", "CABLE Output, ASIO"):
            with pytest.raises(RtsepError, match="no input device is called"):
                find_device(wanted, "input")


def test_a_missing_portaudio_library_says_how_to_install_it() -> None:
    program = (
        "import ctypes.util, rtsep.audio.devices.discovery as d\n"
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
        "import rtsep.audio.devices.discovery as d\n"
        "print([x for x in d.list_devices() if x.serves('input')])\n"
        "try: d.find_device(None, 'input')\n"
        "except d.RtsepError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=silent_environment
    )
    assert "no sound input device" in done.stdout, (done.stdout, done.stderr)


def test_a_dev_shm_that_is_too_small_for_portaudio_is_one_line() -> None:
    """As in containers: JACK's library would end the process with a bus error."""
    mount = 'mount -t tmpfs -o size=64k tmpfs /dev/shm || exit 99; exec "$@"'
    command = [sys.executable, "-m", "rtsep", "devices"]
    try:
        done = subprocess.run(["unshare", "-m", "sh", "-c", mount, "sh", *command], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip("mounting isn't permitted here")
    assert done.returncode == 1
    assert done.stderr == (
        "rtsep: /dev/shm has 64 KiB free, PortAudio needs 256 KiB: "
        "free some space or enlarge it (containers: --shm-size=64m)\n"
    )
