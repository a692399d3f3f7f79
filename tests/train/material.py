"""Songs made of noise and tones, which a network can learn to part within seconds."""

import json
import re
from pathlib import Path

import numpy as np
import soundfile

RECIPE = """name = "toy"
network = "rtsep.nn.frame_transformer:FrameTransformer"
stems = ["vocals", "instrumental"]
[stft]
bins = 128
[net]
widths = [8, 8, 8]
width = 32
heads = 2
feed_forward = 32
layers = [1, 1, 1]
context = 8
[train]
seed = 3
steps = 30
batch = 2
frames = 20
warmup_frames = 4
learning_rate = 4e-3
warmup_steps = 5
ema = 0.9
chunks = [1, 4, 0]
validate_steps = 0
[[train.data]]
folder = "songs"
layout = "stems"
holdout = ["held"]
[[train.data]]
folder = "duets"
layout = "pairs"
weight = 0.5
bandwidth_hz = 900
"""


def write_material(folder: Path) -> Path:
    """Two songs of stems (one of them held out) and a pair, at rates and lengths of their own; returns the recipe."""
    random = np.random.default_rng(5)

    def voice(seconds: float, rate: int) -> np.ndarray:
        time_s = np.arange(int(seconds * rate)) / rate
        tone = sum(np.sin(2 * np.pi * 220 * n * time_s + n) / n for n in range(1, 5))
        return (0.2 * tone * (np.sin(2 * np.pi * 0.7 * time_s) > -0.5)).astype(np.float32)

    def noise(seconds: float, rate: int) -> np.ndarray:
        return (0.1 * random.standard_normal((int(seconds * rate), 2))).astype(np.float32)

    for name, seconds in (("one", 4.03), ("held", 3.01)):
        song = folder / "songs" / name
        song.mkdir(parents=True)
        soundfile.write(song / "vocals.wav", np.stack([voice(seconds, 44100)] * 2, axis=1), 44100, subtype="FLOAT")
        soundfile.write(song / "drums.wav", noise(seconds, 44100), 44100, subtype="FLOAT")
        soundfile.write(song / "bass.wav", noise(seconds - 0.5, 44100), 44100, subtype="FLOAT")
    (folder / "duets").mkdir()
    soundfile.write(folder / "duets" / "a_1.vocals.flac", voice(3.2, 16000), 16000)
    soundfile.write(folder / "duets" / "a_1.accompaniment.flac", noise(3.2, 16000)[:, 0], 16000)
    recipe = folder / "toy" / "recipe.toml"
    recipe.parent.mkdir()
    recipe.write_text(RECIPE)
    return recipe


def variant(recipe: Path, name: str, **settings: object) -> Path:
    """The recipe under another file name, with some of its [train] changed."""
    text = recipe.read_text()
    for key, value in settings.items():
        text = re.sub(rf"^{key} = .*\n", "", text, flags=re.MULTILINE)
        text = text.replace("[train]\n", f"[train]\n{key} = {json.dumps(value)}\n")
    changed = recipe.with_name(f"{name}.toml")
    changed.write_text(text)
    return changed


def logged(run: Path) -> list[dict[str, float]]:
    """The reports in a run's log."""
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def logged_losses(run: Path) -> dict[int, float]:
    """The losses in a run's log by step; no step may be told twice."""
    losses = [(report["step"], report["loss"]) for report in logged(run) if "loss" in report]
    assert len(dict(losses)) == len(losses)
    return dict(losses)
