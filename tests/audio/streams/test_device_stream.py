"""The output stream on virtual devices: every sample arrives, and a hanging PortAudio does not hang us."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from rtsep.audio.callback.routing import Outlet
from rtsep.audio.devices import portaudio
from rtsep.audio.devices.discovery import find_device, load_sounddevice
from rtsep.audio.streams.device_stream import OutputStream
from rtsep.errors import RtsepError
from rtsep.shared.state import SharedLayout, SharedState
from rtsep.shared.status import Kind
from tests.listening import excused_by_stalls
from tests.virtual_audio import FOUR_CHANNELS

LENGTH = 3 * 44100 + 7


def counters(length: int) -> np.ndarray:
    """Two rows of a ramp that float32 holds exactly and that never repeats within `length`, below the limiter."""
    count = np.arange(1, length + 1, dtype=np.float32)
    return np.stack([count, -count]) * np.float32(2.0**-19)


def loaded_deck(stems: tuple[str, ...] = ("one", "two")) -> SharedState:
    """A shared state whose stems add up to counters: the odd numbers in one, the even ones in the other."""
    shared = SharedState.create(SharedLayout(stems))
    ramp = counters(LENGTH)
    padded = np.pad(ramp, ((0, 0), (0, 16384)))
    odd = padded * (np.arange(padded.shape[1]) % 2).astype(np.float32)
    shared.mixture.restart(0, 0, 0)
    shared.mixture.finish(LENGTH)
    shared.mixture.write(padded)
    shared.stem.restart(0, 0, 0)
    shared.stem.write(np.concatenate([odd, padded - odd]))
    return shared


@contextmanager
def capture(path: Path, sink: str = "rt_out", rate: int = 44100) -> Iterator[None]:
    """Record what virtual speakers play to `path`, raw interleaved float32."""
    command = ["parec", f"--device={sink}.monitor", "--format=float32le", f"--rate={rate}", "--raw"]
    command += ["--channels=4", f"--channel-map={FOUR_CHANNELS}"] if sink == "rt_four" else ["--channels=2"]
    with path.open("wb") as file:
        recorder = subprocess.Popen(command, stdout=file)
        try:
            deadline = time.monotonic() + 5
            while path.stat().st_size == 0 and time.monotonic() < deadline:
                time.sleep(0.02)
            yield
            time.sleep(1.0)  # what is still on its way
        finally:
            recorder.terminate()
            recorder.wait()


def wait_for(condition, limit_s: float = 15.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.02)


@pytest.mark.parametrize("blocksize", [256, 1024, 0])
@excused_by_stalls
def test_every_sample_arrives_at_the_speakers_bit_for_bit(virtual_audio, tmp_path, blocksize) -> None:
    shared = loaded_deck()
    stream = OutputStream(shared, find_device("rt_out").index, blocksize)
    with capture(tmp_path / "heard.raw"):
        stream.start()
        time.sleep(0.2)  # silence first, so that the capture runs when the sound begins
        shared.transport.post(0, 0, 44100)
        shared.transport.playing = True
        wait_for(lambda: shared.callback.read().ended)
    head = shared.callback.read()
    assert stream.stop()
    assert stream.close()

    heard = np.fromfile(tmp_path / "heard.raw", np.float32).reshape(-1, 2).T
    expected = counters(LENGTH)
    first = int(np.flatnonzero(heard[0])[0])
    # The first 64 samples are the fade-in from silence; all others are the counters themselves.
    np.testing.assert_array_equal(heard[:, first + 64 : first + LENGTH], expected[:, 64:])
    assert not heard[:, first + LENGTH :].any()
    assert head.wet_samples == LENGTH == head.position
    assert (head.late_blocks, head.starved_samples, head.dry_samples, head.clipped_samples) == (0, 0, 0, 0)
    assert head.max_block == blocksize or blocksize == 0
    assert stream not in portaudio.callable_streams


@pytest.mark.parametrize("blocksize", [441, 0])
@excused_by_stalls
def test_a_stem_arrives_on_its_own_channels_and_all_add_up(virtual_audio, tmp_path, blocksize) -> None:
    shared = loaded_deck(("vocals", "instrumental"))
    stream = OutputStream(shared, find_device("rt_four").index, blocksize, routes={"vocals": Outlet(2, 3)})
    with capture(tmp_path / "heard.raw", "rt_four"):
        stream.start()
        time.sleep(0.2)
        shared.transport.post(0, 0, 44100)
        shared.transport.playing = True
        wait_for(lambda: shared.callback.read().ended)
    assert shared.callback.read().wet_samples == LENGTH
    assert stream.close()

    heard = np.fromfile(tmp_path / "heard.raw", np.float32).reshape(-1, 4).T
    first = int(np.flatnonzero(heard.any(axis=0))[0])
    heard = heard[:, first + 64 : first + LENGTH]
    expected = counters(LENGTH)[:, 64:]
    np.testing.assert_array_equal(heard[:2] + heard[2:], expected)
    odd = (np.arange(64, LENGTH) % 2).astype(np.float32)
    np.testing.assert_array_equal(heard[2:], expected * odd)


@pytest.mark.parametrize("blocksize", [256, 441])
@excused_by_stalls
def test_a_tone_arrives_whole_and_at_its_pitch_at_a_device_of_48_khz(virtual_audio, tmp_path, blocksize) -> None:
    shared = loaded_deck()
    wave = 0.25 * np.sin(2 * np.pi * 997 * np.arange(LENGTH + 16384) / 44100)
    shared.stem.data[:, : wave.size] = wave.astype(np.float32)
    stream = OutputStream(shared, find_device("rt_48k").index, blocksize, samplerate=48000)
    with capture(tmp_path / "heard.raw", "rt_48k", 48000):
        stream.start()
        time.sleep(0.2)
        shared.transport.post(0, 0, 44100)
        shared.transport.playing = True
        wait_for(lambda: shared.callback.read().ended)
    head = shared.callback.read()
    assert stream.samplerate == 48000
    assert stream.stop()
    assert stream.close()
    assert (head.wet_samples, head.late_blocks, head.starved_samples) == (LENGTH, 0, 0)

    heard = np.fromfile(tmp_path / "heard.raw", np.float32).reshape(-1, 2).T.astype(np.float64)
    sounding = np.flatnonzero(np.abs(heard[0]) > 1e-3)
    assert sounding[-1] - sounding[0] == pytest.approx(LENGTH * 48000 / 44100, abs=60)
    middle = heard[0, sounding[0] + 500 : sounding[-1] - 500]
    # One sine from end to end: any gap or doubled sample would turn its phase.
    angle = 2 * np.pi * 997 * np.arange(middle.size) / 48000
    basis = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    sine = basis @ np.linalg.lstsq(basis, middle, rcond=None)[0]
    assert 10 * np.log10(np.mean(sine**2) / np.mean((middle - sine) ** 2)) >= 70
    assert np.sqrt(2 * np.mean(sine**2)) == pytest.approx(0.5, rel=1e-3)


_ON_A_STRICT_CLOCK = """
import time
import numpy as np
from rtsep.audio.devices.discovery import list_devices
from rtsep.audio.streams.device_stream import OutputStream
from rtsep.shared.stream_clock import POSITION, TIME_NS
from rtsep.shared.state import SharedState, SharedLayout
device = next(d for d in list_devices() if "JACK" in d.host_api and d.outputs)
shared = SharedState.create(SharedLayout(("one", "two")))
stream = OutputStream(shared, device.index)
stream.start()
time.sleep(0.5)
seen = []
for _ in range(30):
    time.sleep(0.08)
    clock = stream.clock.copy()
    seen.append((clock[TIME_NS] / 1e9, clock[POSITION]))
# Its clock tells how fast samples of the engine go by, in those of the device; the median, as on a busy machine the
# server stands still now and then.
seconds, samples = np.diff(np.unique(seen, axis=0), axis=0).T
rate = np.median(samples / seconds) * 48000 / 44100
print(stream.samplerate, shared.callback.frames > 0, stream.close(), round(rate, -3).astype(int))
"""


def test_a_device_that_refuses_44100_is_opened_at_its_own_rate(only_48k) -> None:
    child = subprocess.run(
        [sys.executable, "-c", _ON_A_STRICT_CLOCK], env=only_48k, capture_output=True, text=True, timeout=60
    )
    assert child.stdout.splitlines()[-1:] == ["48000 True True 48000"], child.stderr


_TOO_FAST = """
import numpy as np
from rtsep.audio.devices.discovery import list_devices
from rtsep.audio.devices.portaudio import callable_streams
from rtsep.audio.streams.device_stream import CaptureStream, OutputStream
from rtsep.shared.state import SharedState, SharedLayout
from rtsep.errors import RtsepError
device = next(d for d in list_devices() if "JACK" in d.host_api and d.outputs)
shared = SharedState.create(SharedLayout(("one", "two")))
for open_it in (lambda: OutputStream(shared, device.index), lambda: CaptureStream(shared, np.zeros(8, int),
device.index)):
    try:
        open_it()
    except RtsepError as error:
        print(error, len(callable_streams))
"""


def test_a_device_of_a_rate_that_is_out_of_reach_is_one_clear_line(only_384k) -> None:
    child = subprocess.run([sys.executable, "-c", _TOO_FAST], env=only_384k, capture_output=True, text=True, timeout=60)
    far = "its rate is 384000 Hz, expected 5512 to 352800 Hz 0"
    assert child.stdout.splitlines() == [
        f'cannot open "system" for {purpose}: {far}' for purpose in ("playing", "recording")
    ], child.stderr


def test_a_new_stream_goes_on_where_the_last_one_stood(virtual_audio) -> None:
    shared = loaded_deck()
    device = find_device("rt_out").index
    shared.transport.playing = True
    shared.transport.post(1000, 0, 44100)
    for _ in range(2):
        before = shared.callback.read().position
        stream = OutputStream(shared, device, 512)
        assert stream.latency_s > 0
        stream.start()
        wait_for(lambda before=before: shared.callback.read().position >= before + 8192)
        assert stream.active
        assert stream.close()
        assert not stream.active
        assert stream.close(), "closing twice is fine"
    assert shared.callback.read().kind == Kind.WET
    assert shared.callback.read().position >= 16384


def test_a_killed_audio_server_does_not_hang_stop_and_close(virtual_audio) -> None:
    stream = OutputStream(loaded_deck(), find_device("rt_out").index, 512)
    stream.start()
    virtual_audio.kill()
    try:
        before = time.monotonic()
        stream.stop(timeout_s=1.0)
        stream.close(timeout_s=1.0)
        assert time.monotonic() - before < 3.0
    finally:
        virtual_audio.restart()


_STOPPED_WHILE_PLAYING = """
import time
from rtsep.audio.devices.discovery import find_device
from rtsep.audio.streams.device_stream import OutputStream
from rtsep.shared.state import SharedState, SharedLayout
stream = OutputStream(SharedState.create(SharedLayout(("one", "two"))), find_device("rt_out").index, 256, latency="low")
stream.start()
time.sleep(0.3)
print("playing", flush=True)
time.sleep(1.5)
print(stream.active, stream.close())
"""


def test_alsa_does_not_write_over_the_screen_when_the_sound_breaks_off(virtual_audio) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", _STOPPED_WHILE_PLAYING], text=True, **pipes) as player:
        assert player.stdout is not None
        assert player.stdout.readline() == "playing\n"
        for _ in range(3):
            player.send_signal(signal.SIGSTOP)
            time.sleep(0.4)
            player.send_signal(signal.SIGCONT)
            time.sleep(0.1)
        out, err = player.communicate(timeout=60)
    assert (out, err) == ("True True\n", "")


class HangingStream:
    """Stands for a PortAudio whose server has gone: stopping does not come back."""

    latency = 0.01
    active = True

    def __init__(self, **settings: object) -> None:
        self.settings = settings

    def stop(self) -> None:
        time.sleep(60)

    abort = close = stop


@pytest.fixture
def hanging(monkeypatch):
    sounddevice = load_sounddevice()
    monkeypatch.setattr(sounddevice, "_StreamBase", HangingStream)
    monkeypatch.setattr(
        sounddevice,
        "query_devices",
        lambda *_: {"name": "Speakers", "max_output_channels": 2, "default_samplerate": 48000.0},
    )
    monkeypatch.setattr(portaudio.atexit, "unregister", lambda _: None)
    return sounddevice


@pytest.mark.parametrize("action", ["stop", "close"])
def test_a_stream_that_hangs_is_given_up_and_its_memory_kept(hanging, action) -> None:
    stream = OutputStream(loaded_deck())
    before = time.monotonic()
    assert getattr(stream, action)(timeout_s=0.1) is False
    assert time.monotonic() - before < 2.0
    assert stream in portaudio.callable_streams
    assert not stream.active
    assert stream.stop()
    assert stream.close(), "nothing is left to wait for"


def test_a_closed_stream_cannot_be_started(hanging) -> None:
    stream = OutputStream(loaded_deck())
    stream.close(timeout_s=0.05)
    with pytest.raises(ValueError, match="closed"):
        stream.start()


@pytest.mark.parametrize("version", ["0.4.7", "0.6.0", "1.0", "dev"])
def test_an_unknown_sounddevice_is_refused_by_name(monkeypatch, version) -> None:
    monkeypatch.setattr(load_sounddevice(), "__version__", version)
    with pytest.raises(RtsepError, match=f"sounddevice {version} is not supported"):
        OutputStream(loaded_deck())


def test_a_device_with_too_few_channels_for_a_stem_is_one_clear_line(hanging) -> None:
    reason = '^cannot send two to channels 3-4: "Speakers" has 2 channels$'
    with pytest.raises(RtsepError, match=reason):
        OutputStream(loaded_deck(), routes={"two": Outlet(2, 3)})


def test_a_device_that_does_not_exist_is_one_clear_line() -> None:
    with pytest.raises(RtsepError, match="cannot open device 4711 for playing") as caught:
        OutputStream(loaded_deck(), device_index=4711)
    assert "\n" not in str(caught.value)
