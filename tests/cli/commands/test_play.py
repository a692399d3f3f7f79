"""`rtsep play` as its user sees it, through virtual speakers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.running import rtsep
from tests.virtual_audio import VirtualAudio

RATE = 44100


def test_a_song_is_played_and_reported_as_json(
    virtual_audio: VirtualAudio, tone: Path, constant_bundle: Callable[..., Path]
) -> None:
    model = constant_bundle(vocals=0.25, instrumental=0.75)
    done = rtsep(
        *("play", "--gain", "vocals=-inf", "--gain", "instrumental=-1", tone, "--device", "rt_out"),
        *("--model", model, "--chunk", 4, "--start", 4, "--no-ui", "--json"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["model"] == model.name
    assert report["device"] == "rt_out"
    assert report["seconds_played"] == pytest.approx(2.0, abs=0.01)
    assert (report["ended"], report["position_s"], report["length_s"]) == (True, 6.0, 6.0)
    assert (report["dry_s"], report["late_blocks"], report["engine"]["late_hops"]) == (0.0, 0, 0)
    assert report["engine"]["chunk"] == 4
    assert report["engine"]["compute_p50_ms"] > 0
    assert (report["bypass_s"], report["messages"], report["notices"]) == (0.0, [], [])
    parts = report["live_latency_samples"]
    assert report["device_latency_ms"] == pytest.approx(parts["device"] / 44.1)
    assert parts["algorithmic"] >= 4096 + 3 * 1024
    assert parts["total"] == parts["algorithmic"] + parts["margin"] + parts["device"]


def test_the_end_of_the_excerpt_and_the_summary(
    virtual_audio: VirtualAudio, tone: Path, constant_bundle: Callable[..., Path]
) -> None:
    done = rtsep("play", tone, "--device", "rt_out", "--model", constant_bundle(), "--seconds", 1, "--no-ui")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("rtsep: played 1.")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["miss\x1b[31m\ning.wav"], 1, "miss\\x1b[31m\\ning.wav does not exist"),
        (["{tone}", "--model", "nothing-like-it"], 1, "nothing-like-it"),
        (["{tone}", "--device", "no-such-device"], 1, "no-such-device"),
        (["{tone}", "--gain", "banjo=3"], 2, "vocals, instrumental"),
        (["{tone}", "--gain", "vocals"], 2, "STEM=DB"),
        (["{tone}", "--to", "banjo=3-4"], 2, "vocals, instrumental"),
        (["{tone}", "--to", "vocals=3-5"], 2, "STEM=L-R"),
        (["{tone}", "--to", "vocals=9998-9999", "--device", "rt_four"], 1, 'channels 9998-9999: "rt_four" has '),
        (["{tone}", "--chunk", "33"], 2, "1 to 32"),
        (["{tone}", "--compute", "tpu"], 2, "auto, cpu, cuda or cuda:N"),
        (["{tone}", "--compute", "cuda:99"], 1, "cuda:99 not found"),
        (["{tone}", "--start", "-1"], 2, "--start"),
        (["{tone}", "--start", "nan"], 2, "--start nan"),
        (["{tone}", "--start", "inf"], 2, "--start inf"),
        (["{tone}", "--start", "6.5"], 1, "noise.wav is only 6.00 s long"),
        (["{tone}", "--seconds", "nan"], 2, "--seconds nan"),
        (["{tone}", "--seconds", "0"], 2, "--seconds"),
        (["{tone}", "--sekunden", "3"], 2, "--sekunden"),
        ([], 2, "FILE"),
    ],
)
def test_wrong_arguments_end_in_one_line(
    virtual_audio: VirtualAudio,
    tone: Path,
    constant_bundle: Callable[..., Path],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    if "--model" not in arguments:
        arguments = [*arguments, "--model", str(constant_bundle())]
    done = rtsep("play", *(argument.format(tone=tone) for argument in arguments), "--no-ui")
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_an_album_with_a_cover_is_played_and_the_cover_reported(
    virtual_audio: VirtualAudio, tmp_path: Path, constant_bundle: Callable[..., Path]
) -> None:
    album = tmp_path / "album"
    (album / "CD2").mkdir(parents=True)
    for place in ("10.wav", "2.wav", "CD2/1.wav", ".hidden.wav"):
        soundfile.write(album / place, np.full((2000, 2), 0.1), RATE)
    for name in ("cover.jpg", "album.cue"):
        (album / name).write_text("no sound")
    options = ("--device", "rt_out", "--model", constant_bundle(), "--no-ui", "--json")
    done = rtsep("play", album / "cover.jpg", album, album / "album.cue", *options)
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert (report["track"], report["tracks"], report["file"]) == (3, 3, str(album / "CD2" / "1.wav"))
    assert report["seconds_played"] == pytest.approx(3 * 2000 / RATE, abs=0.001)
    assert [line.partition(" ")[0] for line in report["left_out"]] == [
        str(album / "cover.jpg"),
        str(album / "album.cue"),
    ]
    assert done.stderr.splitlines() == [f"rtsep: {line}" for line in report["left_out"]]


def test_a_damaged_song_is_reported_once_and_is_a_failure(
    virtual_audio: VirtualAudio, tmp_path: Path, constant_bundle: Callable[..., Path]
) -> None:
    samples = np.full((2 * RATE, 2), 0.1, np.float32)
    samples[RATE, 0] = np.nan
    soundfile.write(tmp_path / "bad.wav", samples, RATE, subtype="FLOAT")
    done = rtsep("play", tmp_path / "bad.wav", "--device", "rt_out", "--model", constant_bundle(), "--no-ui", "--json")
    assert done.returncode == 1
    (message,) = json.loads(done.stdout)["messages"]
    assert "not a number" in message
    assert done.stderr == f"rtsep: {message}\n"


def test_a_device_of_another_rate_is_named_and_plays(only_48k, constant_bundle, short_wav: Path) -> None:
    arguments = ("--model", constant_bundle(), "--device", "system", "--no-ui", "--json")
    done = rtsep("play", short_wav, *arguments, env=only_48k)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["notices"] == ["system: resampling to 48000 Hz"]
    assert done.stderr == f"rtsep: {report['notices'][0]}\n"
    assert report["ended"]
    assert report["seconds_played"] == pytest.approx(2.0, abs=0.001)
