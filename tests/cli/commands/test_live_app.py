"""`rtsep live --app`: a program is heard separated, and is back in its place afterwards."""

from __future__ import annotations

import json
import re

import pytest

from rtsep.audio.programs.playing import list_programs
from rtsep.cli.main import main
from tests.audio.programs.programs import places, playing
from tests.virtual_audio import VirtualAudio
from tests.waiting import wait_until


@pytest.mark.usefixtures("default_bundle")
def test_a_program_is_separated_and_plays_where_it_did_afterwards(
    virtual_audio: VirtualAudio, capsys: pytest.CaptureFixture[str]
) -> None:
    with playing("Band"):
        wait_until(lambda: len(list_programs()) == 1)
        before = places()
        assert main(["live", "--app", "band", "--seconds", "2", "--no-ui", "--json"]) == 0
        wait_until(lambda: places() == before)
    out, said = capsys.readouterr()
    report = json.loads(out)
    assert (report["input"], report["output"]) == ("Band", "rt_out")
    assert report["wet_s"] > 1
    assert re.search(r"sound is (\d+) ms later than before: set the video player's audio delay to -\1 ms", said)
    assert "feedback" not in said


def test_wrong_programs_end_in_one_line(virtual_audio: VirtualAudio, capsys: pytest.CaptureFixture[str]) -> None:
    for options, code, words in (
        (["--app", "no-such-program"], 1, 'no program called "no-such-program" plays now; playing: none'),
        (["--app", "band", "--input", "rt_mic"], 2, "--app and --input: name one of them"),
    ):
        assert main(["live", *options, "--no-ui"]) == code
        out, err = capsys.readouterr()
        assert (out, len(err.splitlines())) == ("", 1)
        assert words in err


def test_devices_lists_the_programs_that_play(virtual_audio: VirtualAudio, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--apps"]) == 0
    assert capsys.readouterr() == ("", "rtsep: no program plays now: start one, then try again\n")
    with playing("Band"):
        wait_until(lambda: len(list_programs()) == 1)
        assert main(["devices", "--apps"]) == 0
        assert capsys.readouterr().out == "Band  (pacat)  /dev/zero  to rt_out\n"
        assert main(["devices", "--apps", "--json"]) == 0
        (program,) = json.loads(capsys.readouterr().out)
        assert program == {"name": "Band", "binary": "pacat", "titles": ["/dev/zero"], "outputs": ["rt_out"]}
