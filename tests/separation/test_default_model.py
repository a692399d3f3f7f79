"""Which model is used where none is named, and the measurement that decides it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import pytest
import torch

import rtsep.separation.machine_speed as machine_speed_module
from rtsep.bundle import DEFAULT_BUNDLE, Bundle, build_network, find_bundle, write_bundle
from rtsep.errors import RtsepError
from rtsep.recipe import load_recipe
from rtsep.separation.default_model import BETTER_MODELS, MAX_LIVE_STEP_S, MAX_LOAD, KnownModel, default_model
from rtsep.separation.load import load
from rtsep.separation.machine_speed import machine_speed, measure
from tests.waiting import wait_until

KNOWN = {known.name: known.tensors_sha256 for known in BETTER_MODELS}
OWNER = "spleeter-2stems"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, with nothing in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RTSEP_MODEL_DIR", str(tmp_path / "models"))
    (tmp_path / "cache" / "rtsep").mkdir(parents=True)
    if not machine_speed_module._cache_file().is_relative_to(tmp_path):
        pytest.skip("this system keeps caches elsewhere")
    return tmp_path / "cache"


@pytest.fixture
def spleeter(tmp_path: Path) -> Bundle:
    """Spleeter in a small size with random weights, installed under its name."""
    text = (find_bundle(OWNER).path / "recipe.toml").read_text().replace('"unet"', '"unet"\nfilters = [2, 2, 2]')
    folder = tmp_path / "models" / OWNER
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(text)
    recipe = load_recipe(folder / "recipe.toml")
    return write_bundle(folder, recipe, text, build_network(recipe).state_dict(), "MIT")


def keep(latency: str = "standard", name: str = OWNER, **speed: object) -> None:
    """Put a measurement of this machine into the cache."""
    fields = {"realtime_factor": 0.2, "longest_step_s": 0.1, "tensors_sha256": KNOWN[OWNER]} | speed
    file = machine_speed_module._cache_file()
    kept = msgspec.json.decode(file.read_bytes()) if file.exists() else {}
    kept[machine_speed_module._key(find_bundle(name), "auto", latency)] = fields
    file.write_bytes(msgspec.json.encode(kept))


def test_without_better_weights_it_is_the_bundled_model_and_nothing_is_said() -> None:
    said: list[str] = []
    assert default_model(tell=said.append) == DEFAULT_BUNDLE
    assert said == []


@pytest.mark.usefixtures("spleeter")
def test_the_best_model_that_keeps_up_is_chosen_and_told_in_one_line() -> None:
    keep(realtime_factor=MAX_LOAD)
    said: list[str] = []
    assert default_model(tell=said.append) == OWNER
    assert said == [f"model: {OWNER} (the best here; takes 70 % of real time on this machine)"]


def test_a_song_does_not_wait_for_the_first_measurement(spleeter: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is chosen untried, and measured while it plays; then that decides."""
    said: list[str] = []
    untried: list[Bundle] = []
    assert default_model(tell=said.append, on_untried=untried.append) == DEFAULT_BUNDLE  # weights of another
    assert (said, untried) == ([], [])
    sha256 = machine_speed_module.tensors_sha256(spleeter)
    monkeypatch.setattr("rtsep.separation.default_model.BETTER_MODELS", (KnownModel(OWNER, 9.19, sha256),))
    assert default_model(tell=said.append, on_untried=untried.append) == OWNER
    assert said == [f"model: {OWNER} (the best here; its speed on this machine is measured while it plays)"]
    assert [bundle.name for bundle in untried] == [OWNER]
    keep(realtime_factor=1.2, tensors_sha256=sha256)  # measured meanwhile
    assert default_model(on_untried=untried.append) == DEFAULT_BUNDLE
    assert len(untried) == 1


@pytest.mark.usefixtures("spleeter")
def test_a_model_that_is_too_slow_here_is_named_and_not_chosen() -> None:
    keep(realtime_factor=1.2)
    said: list[str] = []
    assert default_model(tell=said.append) == DEFAULT_BUNDLE
    wanted = f"{OWNER} is better and takes 120 % of real time on this machine, more than 70 %"
    assert said == [f"model: {DEFAULT_BUNDLE} ({wanted})"]


@pytest.mark.usefixtures("spleeter")
def test_weights_of_a_users_own_are_never_chosen_by_themselves() -> None:
    keep(tensors_sha256="another")
    said: list[str] = []
    assert default_model(tell=said.append) == DEFAULT_BUNDLE
    assert said == []


@pytest.mark.usefixtures("spleeter")
def test_without_pytorch_it_is_the_bundled_model(monkeypatch: pytest.MonkeyPatch) -> None:
    keep()
    monkeypatch.setattr("rtsep.separation.default_model.has_torch", lambda: False)
    assert default_model() == DEFAULT_BUNDLE


@pytest.fixture
def live_spleeter(spleeter: Bundle, tmp_path: Path) -> Bundle:
    """The same weights, 162 ms late."""
    folder = tmp_path / "models" / "spleeter-live-2stems"
    folder.mkdir()
    text = (spleeter.path / "recipe.toml").read_text().partition("[window]")[0]
    text = text.replace("stems = [", f'weights_of = "{OWNER}"\nstems = [', 1)
    (folder / "recipe.toml").write_text(f"{text}[window]\nframes = 64\nstride = 4\n")
    return Bundle(folder)


@pytest.mark.parametrize(
    ("latency", "chosen"),
    [
        ("standard", DEFAULT_BUNDLE),  # 93 ms
        ("low", DEFAULT_BUNDLE),
        ("120", DEFAULT_BUNDLE),  # with the short synthesis Spleeter is no better
        ("140", "spleeter-live-2stems"),
        ("162", "spleeter-live-2stems"),
        ("1000", "spleeter-live-2stems"),
        ("2000", OWNER),  # late, and the best
        (None, OWNER),
    ],
)
def test_live_it_is_the_best_within_the_latency_asked_for(
    live_spleeter: Bundle, latency: str | None, chosen: str
) -> None:
    for name in (OWNER, live_spleeter.name):
        with contextlib.suppress(RtsepError):  # of a latency that this one cannot have
            keep(latency or "standard", name)
    assert default_model(live_latency=latency) == chosen


@pytest.mark.usefixtures("live_spleeter")
def test_live_a_step_must_fit_into_the_margin() -> None:
    keep("162", "spleeter-live-2stems", longest_step_s=MAX_LIVE_STEP_S + 0.01)
    said: list[str] = []
    assert default_model(live_latency="162", tell=said.append) == DEFAULT_BUNDLE
    assert "takes up to 260 ms for a step on this machine" in said[0]


def test_a_measurement_is_made_once_and_kept(spleeter: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_speed_module, "LATER_S", 0.0)
    machine_speed_module.measure_later(spleeter, "cpu")
    wait_until(lambda: machine_speed_module.known_speed(spleeter, "cpu") is not None, limit_s=120)
    speed = machine_speed(spleeter, "cpu")
    assert speed == machine_speed_module._read_cache()[machine_speed_module._key(spleeter, "cpu", "standard")]
    assert 0 < speed.realtime_factor < 5
    assert 0 < speed.longest_step_s < 32 * 1024 / 44100 * 5

    def start(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(machine_speed_module, "ChildProcess", start)
    assert machine_speed(spleeter, "cpu") == speed
    with pytest.raises(AssertionError, match="measured again"):
        machine_speed(spleeter, "cuda")


def test_the_tensors_alone_tell_whose_weights_they_are(spleeter: Bundle, tmp_path: Path) -> None:
    """The header of the file tells how they came here."""
    before = measure(spleeter, "cpu", "standard").tensors_sha256
    network = spleeter.load_network()
    text = (spleeter.path / "recipe.toml").read_text()
    write_bundle(spleeter.path, spleeter.recipe, text, network.state_dict(), "another licence")
    same = Bundle(spleeter.path)
    assert measure(same, "cpu", "standard").tensors_sha256 == before
    parameters = {name: torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}
    write_bundle(spleeter.path, spleeter.recipe, text, parameters, "another licence")
    assert measure(Bundle(spleeter.path), "cpu", "standard").tensors_sha256 != before


def test_a_damaged_model_is_named_and_the_bundled_one_used(spleeter: Bundle) -> None:
    spleeter.weights_path.write_bytes(b"damaged")
    said: list[str] = []
    assert default_model("cpu", tell=said.append) == DEFAULT_BUNDLE
    assert said[0].startswith(f"model: {DEFAULT_BUNDLE} ({OWNER} cannot be used: ")
    with pytest.raises(RtsepError, match="damaged or was changed"):
        machine_speed(spleeter, "cpu")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}'])
def test_a_damaged_cache_is_an_empty_one(content: bytes) -> None:
    machine_speed_module._cache_file().write_bytes(content)
    assert machine_speed_module._read_cache() == {}


@pytest.mark.usefixtures("spleeter", "default_bundle")
def test_in_python_files_get_the_best_model_and_streams_one_without_delay() -> None:
    keep()
    assert load().latency_samples == load(OWNER).latency_samples != load(DEFAULT_BUNDLE).latency_samples
    assert load(chunk=1).latency_samples == load(DEFAULT_BUNDLE, chunk=1).latency_samples
