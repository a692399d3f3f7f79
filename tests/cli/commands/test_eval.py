"""`rtsep eval`: what it takes, what it prints, and what it writes into a card."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.cli.commands.eval import parse_chunks
from rtsep.cli.main import main
from rtsep.errors import UsageError
from rtsep.train.evaluation.card import BEGIN, END

Maker = Callable[..., Path]


@pytest.fixture
def musdb(tmp_path: Path) -> Path:
    """Two short songs as MUSDB18-HQ has them, one without a voice; the rest is three times as strong as the voice."""
    random = np.random.default_rng(0)
    for name, voice in (("A - Loud", 0.1), ("B - Mute", 0.0)):
        folder = tmp_path / "musdb18hq" / "test" / name
        folder.mkdir(parents=True)
        stems = {"vocals": voice, "drums": 0.2, "bass": 0.2, "other": 0.1}
        sounds = {stem: gain * random.standard_normal((50021, 2)).clip(-3, 3) for stem, gain in stems.items()}
        for stem, sound in {**sounds, "mixture": sum(sounds.values())}.items():
            soundfile.write(folder / f"{stem}.wav", 0.3 * np.asarray(sound), 44100, subtype="FLOAT")
    return tmp_path / "musdb18hq"


def run(musdb: Path, tmp_path: Path, model: Path, *words: str) -> int:
    return main(["eval", str(model), "--data", str(musdb), "--cache", str(tmp_path / "cache"), *words])


def test_a_musdb_folder_needs_no_recipe_and_json_holds_every_row(
    musdb: Path, tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    model = constant_bundle(vocals=0.1, instrumental=0.9)
    assert run(musdb, tmp_path, model, "--chunk", "1,all", "--latency", "low,standard", "--json") == 0
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    systems = 2 + 3 * 2
    assert len([row for row in rows if row["song"] is not None]) == 2 * 2 * systems
    overall = {(row["stem"], row["system"], row["latency"]): row for row in rows if row["song"] is None}
    assert len(overall) == 2 * systems
    vocals = overall["vocals", "K=all", "low"]
    assert vocals["songs"] == 1 and vocals["folder"] == "test"
    assert vocals["sdr_db"] == pytest.approx(10 * np.log10(10 / 9), abs=0.1)  # gain 0.1 on stems of power 1 and 9
    assert vocals["median_sdr_db"] == pytest.approx(vocals["sdr_db"], abs=0.1)
    (mute,) = [row for row in rows if (row["song"], row["stem"]) == ("B - Mute", "vocals") and row["system"] == "K=1"
               and row["latency"] == "standard"]  # fmt: skip
    assert mute["sdr_db"] is None and mute["pause_db"] == pytest.approx(-20, abs=0.01)
    assert said.err == ""


def test_milliseconds_are_scored_as_the_live_setting_within_them(
    musdb: Path, tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    model = constant_bundle(vocals=0.1, instrumental=0.9)
    assert run(musdb, tmp_path, model, "--chunk", "1", "--latency", "low,50", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    low, within = ([row["sdr_db"] for row in rows if (row["system"], row["latency"]) == ("K=1", name)]
                   for name in ("low", "50"))  # fmt: skip
    assert low == within and len(low) == 6


def test_the_card_gets_the_tables_that_are_printed_and_keeps_the_rest(
    musdb: Path, tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    model = constant_bundle(vocals=0.1, instrumental=0.9)
    (model / "CARD.md").write_text(f"# Constant\n\nBy hand.\n\n{BEGIN}\nold\n{END}\n\nBy hand too.\n")
    assert run(musdb, tmp_path, model, "--chunk", "1", "--card") == 0
    said = capsys.readouterr()
    card = (model / "CARD.md").read_text()
    assert card == f"# Constant\n\nBy hand.\n\n{BEGIN}\n\n{said.out}\n{END}\n\nBy hand too.\n"
    assert "| A - Loud | vocals | standard |" in card
    assert said.err == f"rtsep: wrote the scores to {model / 'CARD.md'}\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--chunk", "0"], 2, "--chunk 0: expected frame counts and 'all'"),
        (["--chunk", "1,many"], 2, "--chunk 1,many"),
        (["--latency", "none"], 2, "--latency none"),
        (["--latency", "93", "--chunk", "1,all"], 2, "milliseconds need chunks of at most 32 frames"),
        (["--context", "1", "--card"], 2, "cannot be combined with --context"),
        (["--context", "2"], 2, "--context 2"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: list[str], code: int, says: str, musdb: Path, tmp_path: Path, constant_bundle: Maker,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(musdb, tmp_path, constant_bundle(), *words) == code
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and said.out == ""


def test_a_card_without_a_place_for_scores_is_told_before_anything_is_judged(
    musdb: Path, tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    model = constant_bundle()
    (model / "CARD.md").write_text("# No markers\n")
    assert run(musdb, tmp_path, model, "--card") == 1
    assert "has no place for the scores" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_a_folder_with_nothing_to_judge_is_one_line(
    tmp_path: Path, constant_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    model = constant_bundle()
    assert run(tmp_path, tmp_path, model) == 1
    said = capsys.readouterr().err
    assert said == f"rtsep: {tmp_path} has no songs to evaluate: expected a folder 'test'\n"
    source = '[[train.data]]\nfolder = "karaoke"\nlayout = "pairs"\nholdout = ["bug"]\n'
    (model / "recipe.toml").write_text((model / "recipe.toml").read_text() + source)
    assert run(tmp_path, tmp_path, model) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        f"rtsep: {tmp_path} has no songs to evaluate: expected a folder 'test', or one of the recipe's"
    )
    assert "(karaoke)" in said and said.count("\n") == 1
    (tmp_path / "test").mkdir()
    assert run(tmp_path, tmp_path, model) == 1
    assert f"{tmp_path / 'test'} has no songs: layout 'stems' expects" in capsys.readouterr().err


def test_what_is_scored_is_what_separate_writes(
    tmp_path: Path, default_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the last sample: the song is little longer than one chunk, and most of the last chunk lies beyond its end."""
    folder, random = tmp_path / "test" / "song", np.random.default_rng(0)
    folder.mkdir(parents=True)
    stems = {stem: 0.1 * random.standard_normal((34_567, 2)) for stem in ("vocals", "instrumental")}
    for stem, sound in {**stems, "mixture": sum(stems.values())}.items():
        soundfile.write(folder / f"{stem}.wav", sound, 44100, subtype="FLOAT")
    assert run(tmp_path, tmp_path, default_bundle, "--chunk", "32", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (row,) = (row for row in rows if (row["song"], row["system"], row["stem"]) == ("song", "K=32", "vocals"))
    out = tmp_path / "out"
    assert main(["separate", str(folder / "mixture.wav"), "-o", str(out), "--model", str(default_bundle)]) == 0
    written, _ = soundfile.read(out / "mixture" / "vocals.wav")
    error = stems["vocals"] - written
    sdr_db = 10 * np.log10(np.square(stems["vocals"]).sum() / np.square(error).sum())
    assert row["sdr_db"] == pytest.approx(sdr_db, abs=2e-3)  # decoded songs are kept in 16 bits


def test_chunks_are_numbers_and_all() -> None:
    assert parse_chunks("1,8,all") == [1, 8, 0]
    with pytest.raises(UsageError):
        parse_chunks("-1")
