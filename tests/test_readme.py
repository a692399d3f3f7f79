"""What the README and the pages for users promise: commands and examples run, tables and links are true."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtsep.control.table import PLAY_KEYS, VIEW_KEYS
from rtsep.web.protocol import commands_markdown
from tests.convert.published_files import ARCHIVE, spleeter_archive, spleeter_folder
from tests.convert.web import serve

REPOSITORY = Path(__file__).parent.parent
USER_PAGES = ("README.md", "docs/usage.md", "docs/live.md", "docs/models.md")
LINKING_PAGES = (
    *USER_PAGES,
    "docs/python.md",
    "docs/architecture.md",
    "docs/training.md",
    "docs/training-data.md",
    "docs/remote.md",
)
TEXTS = {page: (REPOSITORY / page).read_text(encoding="utf-8") for page in LINKING_PAGES}


def blocks(language: str, *pages: str) -> list[str]:
    found = [re.findall(rf"^```{language}\n(.*?)^```", TEXTS[page], flags=re.MULTILINE | re.DOTALL) for page in pages]
    return [block for of_page in found for block in of_page]


COMMANDS = [line.split(" #")[0].strip() for block in blocks("sh", *USER_PAGES) for line in block.splitlines() if line]
FETCHING = [line for line in COMMANDS if re.search("models (get|import)|--model", line)]


@pytest.fixture
def folder_with_song(tmp_path: Path, short_wav: Path) -> Path:
    """A folder in which the README's commands find their song.flac."""
    import soundfile

    samples, rate = soundfile.read(short_wav, dtype="float32")
    soundfile.write(tmp_path / "song.flac", np.concatenate([samples, samples]), rate)
    return tmp_path


def test_commands_are_of_kinds_that_are_tried_here() -> None:
    assert COMMANDS
    assert {shlex.split(command)[0] for command in COMMANDS} == {"make", "rtsep"}


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    # What they do takes long and is what continuous integration runs.
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=REPOSITORY, check=True, capture_output=True)


def run(command: str, folder: Path, environment: dict[str, str]) -> None:
    # Without a device: `play` renders to files then, and the sound of it is other tests' matter.
    path = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    done = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env=environment | {"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("default_bundle")
@pytest.mark.parametrize(
    "command", [line for line in COMMANDS if re.match("rtsep (?!live)", line) and line not in FETCHING]
)
def test_commands_run(command: str, folder_with_song: Path, silent_environment: dict[str, str]) -> None:
    run(command, folder_with_song, silent_environment)
    if " -o stems" in command:
        written = {file.relative_to(folder_with_song).as_posix() for file in folder_with_song.glob("stems/*/*.wav")}
        assert written == {"stems/song/vocals.wav", "stems/song/instrumental.wav"}


def test_models_are_fetched_and_imported_and_play(folder_with_song: Path, silent_environment: dict[str, str]) -> None:
    spleeter_folder(folder_with_song / "pretrained_models" / "2stems")
    with serve() as web:
        web.page(ARCHIVE, spleeter_archive(folder_with_song))
        own = {
            "RTSEP_MODEL_DIR": str(folder_with_song / "models"),
            "GITHUB_HOST": web.address,
            "GITHUB_RELEASE": "test",
            "no_proxy": "127.0.0.1",
        }
        for command in FETCHING:
            run(command, folder_with_song, silent_environment | own)
    made = {path.parent.name for path in folder_with_song.glob("models/*/weights.safetensors")}
    assert made == {"spleeter-2stems", "mine"}


@pytest.mark.realtime
@pytest.mark.usefixtures("default_bundle", "virtual_audio")
@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("rtsep live")])
def test_live_commands_run(command: str) -> None:
    devices = {"MIC": "rt_mic", "PHONES": "rt_out", "DESK": "rt_four"}
    words = [devices.get(word, word) for word in shlex.split(command)[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "rtsep", *words, "--seconds", "1"],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"rt_mic to rt_\w+: latency \d+ ms \(\d+ \+ \d+ \+ \d+\)", done.stderr)


@pytest.mark.usefixtures("default_bundle")
def test_python_example_runs(folder_with_song: Path) -> None:
    (example,) = blocks("python", "README.md")
    check = "assert part['vocals'].shape[1] + rest['vocals'].shape[1] == 5000 and karaoke.shape == vocals.shape"
    subprocess.run([sys.executable, "-c", example + check], cwd=folder_with_song, check=True, timeout=120)
    assert (folder_with_song / "out" / "vocals.wav").exists()


def test_commands_for_programs_are_those_of_the_table() -> None:
    assert f"\n\n{commands_markdown()}\n\n" in TEXTS["docs/remote.md"]


def test_keys_are_those_of_the_player() -> None:
    assert f"\n\n{PLAY_KEYS.markdown()}\n\n" in TEXTS["docs/usage.md"]
    assert f"\n\n{VIEW_KEYS.markdown()}\n\n" in TEXTS["docs/usage.md"]


@pytest.mark.parametrize("page", LINKING_PAGES)
def test_links_and_paths_lead_somewhere(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", TEXTS[page]) if "://" not in link]
    paths = re.findall(r"`((?:rtsep|models|demo|docs|tests|benches)(?:/[\w.-]+)+)`", TEXTS[page])
    missing = {link for link in links if not ((REPOSITORY / page).parent / link).exists()}
    missing |= {path for path in paths if not (REPOSITORY / path).exists()}
    assert not missing


def test_the_rooms_and_modules_of_the_architecture_exist() -> None:
    modules = re.findall(r"`((?:\w+\.)+\w+)`", TEXTS["docs/architecture.md"].partition("## Routes")[2])
    rooms = {path.name for path in (REPOSITORY / "rtsep").iterdir()}
    named = {module for module in modules if module.partition(".")[0] in rooms}
    places = {module: REPOSITORY / "rtsep" / module.replace(".", "/") for module in named}
    assert named
    assert not {module for module, place in places.items() if not (place.is_dir() or place.with_suffix(".py").exists())}
