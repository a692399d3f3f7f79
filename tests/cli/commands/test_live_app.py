"""`rtsep live --app`: a program is heard separated, and sample by sample what `separate` makes of its sound."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from scipy.interpolate import CubicSpline

import rtsep
from rtsep.audio.programs.playing import list_programs
from rtsep.cli.main import main
from rtsep.player.recorder import Recorder
from tests.audio.programs.programs import playing
from tests.listening import Recorder as Listener
from tests.listening import excused_by_stalls, place_of
from tests.virtual_audio import VirtualAudio
from tests.waiting import wait_until

RATE = 44100
LENGTH = 2 * RATE


def level_db(error: np.ndarray, sound: np.ndarray) -> float:
    return 10 * float(np.log10(max(np.mean(error**2), 1e-20) / np.mean(sound**2)))


def along(played: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """`played` (2, n) with the slowly changing delay of `heard`, of less than a sample at the start.

    Live sound crosses from one clock to the other by a resampler that varies its rate a little.
    """
    fine, step, samples = 4, 1024, played.shape[1]
    upsampled = np.zeros((2, fine * samples))
    resampled = soxr.resample(played.T.astype(float), 1, fine, quality="VHQ").T[:, : fine * samples]
    upsampled[:, : resampled.shape[1]] = resampled
    curve = CubicSpline(np.arange(fine * samples) / fine, upsampled, axis=1)
    slope, at, delay = curve.derivative(), np.arange(samples), 0.0
    centres, delays = [], []
    for begin in range(step, samples - 2 * step, step):
        span = slice(begin, begin + step)
        for _ in range(4):
            tangent = slope(at[span] - delay)
            delay += np.sum((curve(at[span] - delay) - heard[:, span]) * tangent) / np.sum(tangent**2)
        centres.append(begin + step / 2)
        delays.append(delay)
    assert np.max(np.abs(np.diff(delays))) < 2e-4 * step  # nobody hears it
    return curve(at - CubicSpline(centres, delays)(at))


@pytest.mark.usefixtures("default_bundle")
@excused_by_stalls
def test_what_is_heard_of_a_program_is_what_separate_makes_of_it(
    virtual_audio: VirtualAudio,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the bundled network and the vocals muted. The song is another stream of the program, begun later."""
    played, _ = soundfile.read("demo/paper-boats/mixture.flac", start=20 * RATE, frames=LENGTH, dtype="float32")
    played *= 0.6  # the limiter stays out of it
    played.tofile(tmp_path / "song.raw")
    begins: list[int] = []
    record = Recorder.start
    monkeypatch.setattr(
        Recorder, "start", lambda self, epoch, begin: (begins.append(begin), record(self, epoch, begin))
    )
    heard: list[np.ndarray] = []

    def play_when_taken() -> None:
        wait_until(lambda: any("rtsep separates Band" in program.outputs for program in list_programs()))
        listener = Listener(virtual_audio, tmp_path / "heard.raw")
        with playing("Band", sound=tmp_path / "song.raw") as program:
            program.wait()
        time.sleep(0.5)
        heard.append(listener.stop())
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    song = threading.Thread(target=play_when_taken)
    take = tmp_path / f"take{len(list(tmp_path.iterdir()))}"
    with playing("Band"):
        wait_until(lambda: len(list_programs()) == 1)
        song.start()
        options = ["--gain", "vocals=-inf", "--record", str(take), "--seconds", "60", "--no-ui", "--json"]
        assert main(["live", "--app", "band", *options]) == 130
        song.join()
    out, said = capsys.readouterr()
    report = json.loads(out)
    assert (report["input"], report["output"]) == ("Band", "rt_out")
    assert re.search(r"sound is (\d+) ms later than before: set the video player's audio delay to -\1 ms", said)
    assert "feedback" not in said
    mixture = soundfile.read(take / "mixture.wav", dtype="float32", always_2d=True)[0].T
    # From the beginning of the stream on, so that the network's hops and memory are those of the live run.
    stream = np.concatenate([np.zeros((2, begins[-1]), np.float32), mixture], axis=1)
    with rtsep.load(chunk=1) as separator:
        parts = separator.feed(stream)["instrumental"], separator.flush()["instrumental"]
    separated = np.concatenate(parts, axis=1)
    begin = place_of(played[:, 0], stream[0])
    arrived = stream[:, begin : begin + LENGTH]
    inner = slice(2048, LENGTH - 4096)
    passage_db = level_db((along(played.T, arrived) - arrived)[:, inner], arrived[:, inner])
    wanted = separated[:, begin : begin + LENGTH]
    at = place_of(wanted[0], heard[-1][0])
    heard_db = level_db(heard[-1][:, at : at + LENGTH] - wanted, wanted)
    print(f"program to rtsep {passage_db:.0f} dB, separate to what is heard {heard_db:.0f} dB; {report['notices']}")
    assert passage_db < -60
    assert heard_db < -60


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
