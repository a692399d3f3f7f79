"""Fill the folder that `python -m benches.gpu_run` carries to a machine without an index: `python -m benches.gpu_pack`.

Wheels of what that machine lacks, in the versions that are installed here, and as much music of a recipe as fits:
excerpts from the middle of songs, in Opus, taken from the recipe's sources in turn.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib import metadata
from itertools import zip_longest
from pathlib import Path

import numpy as np
import soundfile
import soxr
import tomli_w
from packaging.requirements import Requirement

from rtsep.files import existing
from rtsep.recipe import load_recipe
from rtsep.train.data.decode import StemFile
from rtsep.train.data.layouts import SongFiles, find
from rtsep.train.data.songs import is_held_out
from rtsep.train_settings import DataSource

REPOSITORY = Path(__file__).resolve().parent.parent
THERE = {"torch", "numba", "llvmlite", "numpy", "scipy", "safetensors"}
"""What the machine has, with all that it needs."""
FOR_TESTS = ("pytest", "hypothesis")
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (34, 31, 28, 27, 26, 24, 17, 12, 5)]
OPUS_RATE = 48_000
COMPRESSION = 0.85
"""libsndfile's scale: about 80 kbit/s in stereo."""
MIB = 1 << 20


def missing_packages(python: str) -> list[str]:
    """NAME==VERSION of what rtsep and its tests need beyond THERE, with the needs of that."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [Requirement(text) for text in (*project["dependencies"], *FOR_TESTS)]
    found: dict[str, str] = {}
    while waiting:
        requirement = waiting.pop()
        name = requirement.name.lower().replace("_", "-")
        environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
        applies = requirement.marker is None or requirement.marker.evaluate(environment)
        if applies and name not in THERE and name not in found:
            found[name] = metadata.version(name)
            waiting += map(Requirement, metadata.requires(name) or [])
    return sorted(f"{name}=={version}" for name, version in found.items())


def download(packages: Sequence[str], python: str, folder: Path) -> None:
    """Fetch wheels for that version of Python on x86-64 Linux."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    only = ["--no-deps", "--only-binary=:all:", "--python-version", python, "--implementation", "cp", *platforms]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder)]
    subprocess.run([*pip, *only, *packages], check=True)


def in_turn(sources: Sequence[DataSource], roots: Sequence[Path]) -> Iterator[tuple[DataSource, Path, SongFiles]]:
    """Source, its folder and a song: the first songs of all sources, then the second ones; no held-out songs."""

    def songs(source: DataSource) -> Iterator[tuple[DataSource, Path, SongFiles]]:
        for folder in existing(roots, source.folder):
            for song in find(folder, source):
                if isinstance(song, SongFiles) and not is_held_out(song.name, source):
                    yield source, folder, song

    kept = [source for source in sources if source.layout not in ("spleeter", "npz", "stem.mp4") and source.weight]
    for turn in zip_longest(*map(songs, kept)):
        yield from filter(None, turn)


def write_excerpt(file: StemFile, to: Path, seconds: float) -> int:
    """The middle of an audio file as Opus; returns its bytes."""
    with soundfile.SoundFile(file.path) as sound:
        frames = min(sound.frames, round(seconds * sound.samplerate))
        sound.seek((sound.frames - frames) // 2)
        samples, rate = sound.read(frames, dtype="float32", always_2d=True), sound.samplerate
    samples = np.asarray(soxr.resample(samples, rate, OPUS_RATE))
    to.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(
        to, "w", OPUS_RATE, samples.shape[1], "OPUS", format="OGG", compression_level=COMPRESSION
    ) as out:
        for start in range(0, len(samples), OPUS_RATE):  # libsndfile puts the whole block on the stack
            out.write(samples[start : start + OPUS_RATE])
    return to.stat().st_size


def pack_music(recipe_path: Path, roots: Sequence[Path], folder: Path, most_bytes: int, seconds: float) -> int:
    """Excerpts and a recipe of the sources that got some; returns the number of songs."""
    recipe = load_recipe(recipe_path)
    songs, used = 0, set[str]()
    for source, place, song in in_turn(recipe.train.data, roots):
        written: list[Path] = []
        for file in song.files.values():
            written.append((folder / "music" / source.folder / file.path.relative_to(place)).with_suffix(".opus"))
            most_bytes -= write_excerpt(file, written[-1], seconds)
        if most_bytes < 0:
            for path in written:
                path.unlink()
            break
        songs += 1
        used.add(source.folder)
    plain = tomllib.loads(recipe_path.read_text(encoding="utf-8"))
    plain.pop("weights", None)
    plain["train"]["data"] = [source for source in plain["train"]["data"] if source["folder"] in used]
    (folder / "recipe.toml").write_text(tomli_w.dumps(plain), encoding="utf-8")
    return songs


def tree_bytes() -> int:
    """Size of the files that git tracks here, which travel too."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    return sum((REPOSITORY / name.decode()).stat().st_size for name in filter(None, names.split(b"\0")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = REPOSITORY / "models" / "frame-transformer-2stems" / "recipe.toml"
    parser.add_argument("--recipe", type=Path, default=default)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with the recipe's sources")
    parser.add_argument("--out", type=Path, default=REPOSITORY / ".gpu", help="emptied first")
    parser.add_argument("--python", default="3.12", help="version on the machine")
    parser.add_argument("--most-mib", type=float, default=60.0, help="with the files that git tracks")
    parser.add_argument("--excerpt-s", type=float, default=45.0)
    wanted = parser.parse_args()
    shutil.rmtree(wanted.out, ignore_errors=True)
    wheels = wanted.out / "wheels"
    wheels.mkdir(parents=True)
    packages = missing_packages(wanted.python)
    download(packages, wanted.python, wheels)
    wheel_bytes = sum(path.stat().st_size for path in wheels.iterdir())
    left = int(wanted.most_mib * MIB) - tree_bytes() - wheel_bytes
    if left <= 0:
        sys.exit(f"--most-mib {wanted.most_mib}: nothing is left for music beside the files of git and the wheels")
    songs = pack_music(wanted.recipe, wanted.data, wanted.out, left, wanted.excerpt_s)
    print(f"{wanted.out}: {len(packages)} wheels ({wheel_bytes / MIB:.1f} MiB), {songs} songs")


if __name__ == "__main__":
    main()
