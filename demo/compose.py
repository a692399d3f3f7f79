"""Generates the demo song: `python demo/compose.py` writes `demo/paper-boats/`, about 35 s on one core.

Needs, besides Python 3.11:
    apt-get install fluidsynth fluid-soundfont-gm espeak-ng
    pip install numpy scipy soundfile mido pyworld "setuptools<81"

Read score.py for the song itself; band.py and singer.py play it (speech.py speaks), mixdown.py finishes it,
songsheet.py writes it down. The same versions of these tools give the same bytes in every run.
"""

import ctypes
import importlib
import os
import shutil
import sys
from pathlib import Path

# One thread adds in one order, so that every run gives the same bytes.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

FOLDER = Path(__file__).parent
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
PYTHON_PACKAGES = {"numpy": "numpy", "scipy": "scipy", "soundfile": "soundfile", "mido": "mido",
                   "pkg_resources": "'setuptools<81'", "pyworld": "pyworld"}  # fmt: skip


def missing_tools() -> list[str]:
    """Commands that install the missing tools."""
    debian = []
    if shutil.which("fluidsynth") is None:
        debian.append("fluidsynth")
    if not SOUNDFONT.is_file():
        debian.append("fluid-soundfont-gm")
    try:
        ctypes.CDLL("libespeak-ng.so.1")
    except OSError:
        debian.append("espeak-ng")
    python = []
    for module, package in PYTHON_PACKAGES.items():
        try:
            importlib.import_module(module)
        except ImportError:
            python.append(package)
    commands = []
    if debian:
        commands.append("apt-get install " + " ".join(debian))
    if python:
        commands.append("pip install " + " ".join(python))
    return commands


def main() -> None:
    if commands := missing_tools():
        sys.exit("compose.py needs more tools; run: " + " && ".join(commands))
    # Only now: these modules need the tools just looked for.
    import band
    import mixdown
    import score
    import singer
    import songsheet

    folder = FOLDER / score.TITLE.lower().replace(" ", "-")
    print("band ...", flush=True)
    raw = band.render(SOUNDFONT)
    print("voice ...", flush=True)
    raw["vocals"] = singer.render()
    print("mix ...", flush=True)
    mixdown.write(mixdown.mix(raw), folder)
    (folder / "SONG.md").write_text(songsheet.text(), encoding="utf-8")
    print(f"wrote {folder}: {sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
