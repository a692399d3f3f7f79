"""A library of odd, broken and oddly named files: the good ones are separated, the bad ones listed, nothing hangs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile

from rtsep.cli.main import main
from tests.audio.files.material import FORMATS, music, write

RATE = 44100
NAMES = (
    *("line\nfeed.wav", "👩‍🎤 日本.wav", f"{'x' * 251}.wav", f"{'歌' * 83}.wav", "-rf.wav", "--out.wav", "dots....wav"),
    *("CON.wav", "a:b?.wav", "A.wav", "a.wav", "Ä.wav", "A\u0308.wav", "{stem}.wav", "%s.wav", " .wav"),
    *("\udcff\udcfe.wav", "tab\t.wav", "[1] *.wav", "vocals.wav"),
)
BROKEN = {
    "empty.wav": b"",
    "text.mp3": b"Dear diary,\n" * 99,
    "header.wav": b"RIFF\0\0\0\0WAVE",
    "zeros.flac": bytes(1000),
    "tag.mp3": b"ID3" + bytes(9999),
    "huge tag.mp3": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(100),
}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Good songs by name or format, and broken ones in `bad`."""
    folder, bad = tmp_path / "in", tmp_path / "in" / "bad"
    bad.mkdir(parents=True)
    sound = music(0.1, RATE)
    for name in NAMES:
        write(tmp_path / "song.wav", sound, RATE, subtype="FLOAT").replace(folder / name)
    for form, how in FORMATS.items():
        write(folder / f"format.{form}", sound, RATE if form != "opus" else 48000, **how)
    tags = mutagen.File(folder / "format.flac")
    tags.update(title="../../../etc", artist="x" * 5000, album="\0", tracknumber="-1/∞")
    tags.save()
    for name, content in BROKEN.items():
        (bad / name).write_bytes(content)
    samples = music(1.0, RATE)
    samples[30_000] = np.nan
    soundfile.write(bad / "nan.wav", samples, RATE, subtype="FLOAT")
    cut = write(bad / "cut.flac", music(1.0, RATE), RATE, **FORMATS["flac"])
    cut.write_bytes(cut.read_bytes()[:30_000])
    (bad / "gone.wav").symlink_to("nowhere")
    os.mkfifo(bad / "pipe.wav")
    (folder / "loop").symlink_to(folder)
    (folder / "cover.jpg").write_bytes(b"\xff\xd8")
    return folder


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_good_songs_are_separated_and_bad_ones_listed(
    tmp_path: Path, library: Path, constant_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["separate", str(library), "-o", str(out), "--model", str(constant_bundle(vocals=0.5, other=0.5))]
    assert main([*words, "--json"]) == 3
    said = capsys.readouterr()
    events = [json.loads(line) for line in said.out.splitlines()]
    by_event = {event: {entry["file"] for entry in events if entry["event"] == event} for event in ("done", "failed")}
    assert by_event["failed"] == {str(path) for path in (library / "bad").iterdir()}
    good = {str(library / name) for name in (*NAMES, *(f"format.{form}" for form in FORMATS))}
    assert by_event["done"] == good
    written = [entry["stems"][stem] for entry in events if entry["event"] == "done" for stem in ("vocals", "other")]
    assert len(set(written)) == 2 * len(good)
    for path in written:
        assert soundfile.info(os.fsencode(path)).frames > 4000
        assert Path(path).is_relative_to(out)
        assert all(name == name.rstrip(". ") and len(os.fsencode(name)) <= 255 for name in Path(path).parts)
    assert said.err.count("\n") == 1 + 2 * len(by_event["failed"]) + 1
    assert {path.name for path in out.rglob("*") if path.is_file()} - {"vocals.wav", "other.wav"} == {
        path.name for path in out.rglob(".rtsep-*.json")
    }
    # Once more, by tags, and resumed: everything is done, and the same fails.
    shutil.rmtree(out)
    by_tags = [*words, "--template", "{artist}/{album}/{track} {title} {stem}.{ext}", "--skip-existing"]
    assert main(by_tags) == 3
    assert len(capsys.readouterr().out.splitlines()) >= 2 * len(good)
    assert main(by_tags) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{len(good)} of {len(good) + len(by_event['failed'])} songs were separated already" in said.err
