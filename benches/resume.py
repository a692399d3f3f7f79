"""Kill `rtsep separate --skip-existing` at random moments until it is done, and compare with an undisturbed run.

    python benches/resume.py /music --songs 200 --kills 20

Short songs are cut from the audio files of a folder. Ends with 1 if a file is missing, differs or is left over.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

from rtsep.audio.files.folders import list_folder
from rtsep.audio.files.reader import Part, open_audio
from rtsep.errors import RtsepError

SECONDS = 0.5


def cut_songs(music: Path, folder: Path, count: int) -> None:
    """Write `count` short songs, each from another place of another file."""
    files = list_folder(music).songs
    made = 0
    while made < count:
        part = Part(start_s=1.0 + SECONDS * made, seconds=SECONDS)
        try:
            with open_audio(files[made % len(files)], part=part) as reader:
                samples = reader.read(round(SECONDS * reader.sample_rate))
                soundfile.write(folder / f"{made:03d}.flac", samples.T, reader.sample_rate)
        except RtsepError:
            files.remove(files[made % len(files)])
            continue
        made += 1


def command(songs: Path, out: Path, model: str) -> list[str]:
    words = ["separate", str(songs), "-o", str(out), "--model", model, "--skip-existing"]
    return [sys.executable, "-m", "rtsep", *words]


def count_done(out: Path) -> int:
    folders = os.listdir(out) if out.exists() else []  # a run removes and makes some meanwhile
    return sum(any(glob.iglob(f"{out}/{folder}/.rtsep-*.json")) for folder in folders)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("music", type=Path)
    parser.add_argument("--songs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--model", default="frame-transformer-2stems")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as place:
        songs, whole, out = (Path(place) / name for name in ("songs", "whole", "out"))
        songs.mkdir()
        cut_songs(asked.music, songs, asked.songs)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command(songs, whole, asked.model), check=True, **quiet)
        done = [0]
        for _ in range(asked.kills):
            process = subprocess.Popen(command(songs, out, asked.model), **quiet)
            # Some songs later, such that after all kills about everything is done; and at any moment of a song.
            last = done[-1] + rng.randrange(2 * asked.songs // asked.kills)
            while count_done(out) <= last and process.poll() is None:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 1.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
            done.append(count_done(out))
        subprocess.run(command(songs, out, asked.model), check=True, **quiet)
        expected, found = contents(whole), contents(out)
        report = {
            "songs": asked.songs,
            "kills": asked.kills,
            "done_after_each_kill": done[1:],
            "files": len(expected),
            "missing": sorted(expected.keys() - found.keys()),
            "left_over": sorted(found.keys() - expected.keys()),
            "different": sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name]),
        }
    print(json.dumps(report, indent=1))
    return int(any(report[fault] for fault in ("missing", "left_over", "different")))


if __name__ == "__main__":
    sys.exit(main())
