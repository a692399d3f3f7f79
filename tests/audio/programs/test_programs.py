"""The sound of programs is taken and put back, on a real sound server."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from rtsep.audio.devices.discovery import Device
from rtsep.audio.devices.feedback import feedback_risk
from rtsep.audio.programs.capture import ProgramCapture
from rtsep.audio.programs.playing import Program, find_program, list_programs
from rtsep.errors import RtsepError
from tests.audio.programs.programs import captured_elsewhere, default_sink, places, playing, sink_names
from tests.virtual_audio import VirtualAudio
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("virtual_audio")


def wait_for(*wanted: tuple[str, str]) -> None:
    wait_until(lambda: places() == sorted(wanted))


def test_a_program_is_found_by_a_part_of_its_name() -> None:
    with playing("Band Player"), playing("Radio"), playing("Radio", "--device=rt_four"), playing("Radio Two"):
        wait_until(lambda: len(places()) == 4)
        band, radio, _ = list_programs()
        assert band == Program("Band Player", "pacat", ("/dev/zero",), ("rt_out",))
        assert sorted(radio.outputs) == ["rt_four", "rt_out"]
        assert find_program("band") == band
        assert find_program("radio") == radio
        for wanted, words in (
            ("rad", "longer name: Radio, Radio Two"),
            ("x", "playing: Band Player, Radio, Radio Two"),
        ):
            with pytest.raises(RtsepError, match=words):
                find_program(wanted)


def test_a_program_is_taken_with_its_later_streams_and_put_back_where_each_was() -> None:
    before = sink_names()
    with playing("Band"), playing("Band", "--device=rt_four"), playing("Radio"):
        wait_for(("Band", "rt_out"), ("Band", "rt_four"), ("Radio", "rt_out"))
        ours = f"rtsep_app_{os.getpid()}"
        with ProgramCapture(find_program("Band")) as capture:
            assert ours not in {sink for _, sink in places()}  # until it is ready the program plays on
            capture.take()
            wait_for(("Band", ours), ("Band", ours), ("Radio", "rt_out"))
            assert feedback_risk(capture.device, capture.device) is None
            with playing("Band"):
                wait_for(("Band", ours), ("Band", ours), ("Band", ours), ("Radio", "rt_out"))
        wait_for(("Band", "rt_out"), ("Band", "rt_four"), ("Radio", "rt_out"))
    assert sink_names() == before
    assert not {"PULSE_SINK", "PULSE_SOURCE"} & os.environ.keys()


def test_a_killed_player_leaves_all_programs_where_they_were() -> None:
    """Every program, and the default sink with them; within a second."""
    before = sink_names()
    with playing("Band"), playing("Radio", "--device=rt_four"):
        wait_for(("Band", "rt_out"), ("Radio", "rt_four"))
        with captured_elsewhere("all") as player:
            ours = f"rtsep_app_{player.pid}"
            wait_for(("Band", ours), ("Radio", ours))
            assert default_sink() == ours
            player.send_signal(signal.SIGKILL)
            player.wait()
            began = time.monotonic()
            wait_until(lambda: sink_names() == before)
            print(f"put back after {time.monotonic() - began:.2f} s")
        assert places() == [("Band", "rt_out"), ("Radio", "rt_four")]
        assert default_sink() == "rt_out"


def test_what_the_user_moves_meanwhile_stays_there() -> None:
    with playing("Band"):
        wait_for(("Band", "rt_out"))
        with ProgramCapture(find_program("Band")) as capture:
            capture.take()
            wait_for(("Band", f"rtsep_app_{os.getpid()}"))
            (line,) = subprocess.check_output(["pactl", "list", "short", "sink-inputs"], text=True).splitlines()
            subprocess.run(["pactl", "move-sink-input", line.split()[0], "rt_48k"], check=True)
            time.sleep(0.3)  # the watcher has looked again
            assert places() == [("Band", "rt_48k")]
        assert places() == [("Band", "rt_48k")]


def test_a_watcher_that_is_killed_leaves_no_sink() -> None:
    before = sink_names()
    with playing("Band"):
        wait_for(("Band", "rt_out"))
        with ProgramCapture(find_program("Band")) as capture:
            capture.take()
            wait_for(("Band", f"rtsep_app_{os.getpid()}"))
            assert capture.watcher_pid is not None
            os.kill(capture.watcher_pid, signal.SIGKILL)
            wait_until(lambda: capture.watcher_pid is None)
        wait_for(("Band", "rt_out"))
    assert sink_names() == before


def test_after_the_death_of_the_server_the_program_is_taken_again(virtual_audio: VirtualAudio) -> None:
    ours = f"rtsep_app_{os.getpid()}"
    with playing("Band"):
        wait_for(("Band", "rt_out"))
        with ProgramCapture(find_program("Band")) as capture:
            capture.take()
            wait_for(("Band", ours))
            virtual_audio.restart()
            with playing("Band"):
                wait_for(("Band", ours))


def test_without_a_sound_server_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSE_SERVER", "unix:/nonexistent")
    with pytest.raises(RtsepError, match="no answer from PulseAudio or PipeWire"):
        list_programs()
    with pytest.raises(RtsepError, match="no answer from PulseAudio or PipeWire"):
        ProgramCapture(Program("all", "", (), ()))


def test_the_device_of_a_sound_server_is_what_is_used() -> None:
    with ProgramCapture(Program("Band", "", (), ())) as capture:
        assert isinstance(capture.device, Device)
        assert (capture.device.name, capture.output_text) == ("default", "rt_out")
