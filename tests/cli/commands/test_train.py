"""`rtsep train` as it is typed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from rtsep.cli.main import main
from tests.conftest import REPOSITORY
from tests.train.material import logged_losses, variant, write_material


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_material(tmp_path_factory.mktemp("material"))


def test_a_run_tells_where_it_goes_what_it_scores_and_where_it_lies(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = variant(recipe, "short", steps=2, validate_steps=2)
    words = ["train", str(short), "--data", str(tmp_path), str(recipe.parent.parent), "--out", str(tmp_path / "run")]
    assert main([*words, "--compute", "cpu"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'run' / 'bundle'}\n"
    first, before, after = (line for line in said.err.splitlines() if line.startswith(("rtsep: ", "step ")))
    assert first == f"rtsep: 2 steps into {tmp_path / 'run'} on cpu"
    assert before.startswith("step 0: dB over the best constant gain: vocals ") and ", instrumental " in before
    assert after.startswith("step 2: ")

    assert main([*words, "--compute", "cpu"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "--resume" in said.err
    assert main([*words, "--compute", "cpu", "--resume"]) == 0
    *found, last = capsys.readouterr().err.splitlines()
    assert last == f"rtsep: step 2 of 2 into {tmp_path / 'run'} on cpu"
    assert "songs: one: bass is 0.5 s shorter than the others: padded with silence" in found
    assert [line.split()[:3] for line in found[:3]] == [
        ["source", "layout", "songs"], ["songs", "stems", "1"], ["duets", "pairs", "1"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--threads", "0"], 2, "--threads 0: expected 1 or more"),
        (["--compute", "cuda:99"], 1, "cuda:99 not found"),
        (["--init", "nonesuch"], 1, "no model 'nonesuch'"),
        pytest.param(
            ["--tensorboard"], 1, "the package tensorboard is missing",
            marks=pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="it is there"),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    asked = ["train", str(recipe), "--data", str(recipe.parent.parent), "--out", str(tmp_path / "run"), *words]
    assert main(asked) == code
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["frame-transformer-2stems", str(REPOSITORY / "models" / "frame-transformer-2stems")])
def test_the_recipe_of_a_model_is_found_by_its_name_and_by_its_folder(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", model, "--data", str(tmp_path), "--compute", "cpu"]) == 1
    said = capsys.readouterr().err
    assert said == f"rtsep: the recipe's folder multitrack/train is not in {tmp_path}: check --data\n"
    assert main(["train", "nonesuch", "--data", str(tmp_path), "--compute", "cpu"]) == 1
    assert "no model 'nonesuch'" in capsys.readouterr().err


def test_a_run_goes_on_where_nobody_can_be_told_anything(recipe: Path, tmp_path: Path) -> None:
    """stderr refuses everything, as a terminal that is being closed does before its signal comes."""
    short = variant(recipe, "untold", steps=3, validate_steps=2)
    run = tmp_path / "run"
    words = ["train", str(short), "--data", str(recipe.parent.parent), "--out", str(run), "--compute", "cpu"]
    program = (
        f"from rtsep.cli.commands import train; train.LINES_S = 0.0\nfrom rtsep.cli.main import main; main({words!r})"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=full, text=True, timeout=120
        )
    assert list(logged_losses(run)) == [1, 2, 3]
    assert done.stdout == f"{run / 'bundle'}\n"
