"""What is carried to a machine with a CUDA card, and how its stages measure and end."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benches import gpu_stages
from benches.gpu_pack import THERE, missing_packages, pack_music
from benches.gpu_run import Run
from rtsep.recipe import load_recipe
from rtsep.train.data.songs import load_songs
from tests.train.material import RECIPE


def test_the_wheels_are_those_of_what_is_missing_and_of_what_that_needs() -> None:
    names = {package.partition("==")[0] for package in missing_packages("3.12")}
    assert {"pyfftw", "soundfile", "soxr", "cyclopts", "msgspec", "sounddevice", "pytest"} <= names
    assert {"cffi", "pluggy"} <= names, "what soundfile and pytest need"
    assert not names & THERE


def test_excerpts_of_all_sources_in_turn_are_carried_as_far_as_they_fit(tmp_path: Path) -> None:
    """Held-out songs stay behind, and so does the second song of the source, which would be too much."""
    data = tmp_path / "data"
    random = np.random.default_rng(0)

    def write(path: Path, samples: int, rate: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * random.standard_normal((samples, 2)), rate)

    for song in ("held", "one", "two"):
        for stem in ("vocals", "drums"):
            write(data / "songs" / song / f"{stem}.wav", 6 * 44100, 44100)
    for stem in ("vocals", "accompaniment"):
        write(data / "duets" / f"a_1.{stem}.flac", 3 * 16000, 16000)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE + '[[train.data]]\nfolder = "elsewhere"\nlayout = "vocals"\n')
    assert pack_music(recipe, [data], tmp_path / "carried", 200_000, seconds=4.0) == 2
    carried = load_recipe(tmp_path / "carried" / "recipe.toml")
    songs, _ = load_songs(carried, [tmp_path / "carried" / "music"], tmp_path / "cache", held_out=False)
    assert {song.name: round(song.samples / 44100, 1) for song in songs} == {"one": 4.0, "a_1": 3.0}
    assert [source.folder for source in carried.train.data] == ["songs", "duets"]
    assert sum(path.stat().st_size for path in (tmp_path / "carried" / "music").rglob("*.*")) < 200_000


def test_steps_are_paced_pause_and_keep_the_card_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_stages, "RUN_S", 3 * gpu_stages.HOP_S)
    monkeypatch.setattr(gpu_stages, "PAUSE_S", 0.05)
    calls: list[str] = []
    found = gpu_stages.paced(lambda: calls.append("step"), 0.1, lambda: calls.append("idle"))
    runs = len(found["first_after_a_pause_ms"])
    assert runs >= 1 and found["n"] == 2 * runs and calls.count("step") == 3 * runs
    assert "idle" in calls and 0 <= found["p50_ms"] <= found["max_ms"]


def test_a_stage_that_fails_is_a_result_and_the_next_one_follows(tmp_path: Path) -> None:
    run = Run(tmp_path, time.time() + 60, {"device": "none"})
    run.stage("broken", lambda: {"never": 1 / 0})
    run.stage("whole", lambda: {"figure": 3})
    stages = json.loads((tmp_path / "gpu_run.json").read_text())["stages"]
    assert stages["broken"]["error"].startswith("ZeroDivisionError") and stages["whole"]["figure"] == 3
    assert run.failed and 30 < run.left_s() < 60


def test_the_carried_recipe_trains_with_the_runs_settings(tmp_path: Path) -> None:
    text = RECIPE + '[weights]\nsha256 = "0"\nlicence = "MIT"\n'
    path = gpu_stages.write_recipe(tmp_path / "recipe.toml", text, batch=64, precision="bf16", steps=40)
    recipe = load_recipe(path)
    assert (recipe.train.batch, recipe.train.precision, recipe.train.steps) == (64, "bf16", 40)
    assert recipe.train.warmup_steps == 4 and recipe.weights is None
