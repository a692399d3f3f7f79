"""What `--latency` means: words and milliseconds, for models with one live setting and with several."""

from __future__ import annotations

import pytest

from rtsep.errors import ArgumentError, RtsepError
from rtsep.live_settings import best_latency, choose_live_setting, live_settings
from rtsep.recipe import Recipe, Stft, Window

FRAMES = Recipe(name="frames", network="x:Y", stems=("vocals", "other"))
STRIDES = [(4, 2), (1, 0), (4, 0), (2, 0)]
WINDOWS = Recipe(
    name="windows",
    network="x:Y",
    stems=("vocals", "other"),
    window=Window(frames=512, stride=512),
    live=tuple(Window(frames=64, stride=stride, lookahead=lookahead) for stride, lookahead in STRIDES),
)
ONE = Recipe(name="one", network="x:Y", stems=("vocals",), window=Window(frames=64, stride=64))


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [(FRAMES, [46, 70, 93]), (WINDOWS, [46, 70, 93, 116, 163, 209]), (ONE, [1509, 1533, 1556])],
    ids=lambda value: getattr(value, "name", None),
)
def test_settings_are_listed_from_the_shortest_delay_to_the_longest(recipe: Recipe, expected: list[int]) -> None:
    assert [round(setting.latency_ms) for setting in live_settings(recipe)] == expected


@pytest.mark.parametrize(
    ("latency", "mode", "delay_frames"),
    [
        ("standard", "standard", 0),
        ("medium", "medium", 0),
        ("low", "low", 0),
        ("46", "low", 0),
        ("92.9", "standard", 0),
        ("115", "standard", 0),
        ("116", "standard", 1),
        ("162", "standard", 3),
        ("163", "standard", 3),
        ("1000", "standard", 5),
    ],
)
def test_a_word_is_the_shortest_delay_and_a_number_the_longest_within_it(
    latency: str, mode: str, delay_frames: int
) -> None:
    setting = choose_live_setting(WINDOWS, latency)
    assert setting.window is not None
    assert (setting.mode, setting.window.delay_frames) == (mode, delay_frames)
    assert (choose_live_setting(FRAMES, latency).mode, choose_live_setting(FRAMES, latency).window) == (mode, None)


def test_files_are_played_with_the_longest_delay_which_is_the_best() -> None:
    assert [best_latency(recipe) for recipe in (FRAMES, ONE)] == ["standard", "standard"]
    assert choose_live_setting(WINDOWS, best_latency(WINDOWS)) == live_settings(WINDOWS)[-1]


def test_a_short_frame_has_one_synthesis_for_all_words() -> None:
    short = Recipe(name="short", network="x:Y", stems=("vocals",), stft=Stft(n_fft=2048))
    assert [round(setting.latency_ms) for setting in live_settings(short)] == [46, 46, 46]
    assert choose_live_setting(short, "60").mode == "standard"


@pytest.mark.parametrize("recipe", [FRAMES, WINDOWS, ONE], ids=lambda recipe: recipe.name)
def test_less_than_a_model_can_do_is_refused_with_the_choice(recipe: Recipe) -> None:
    least = round(live_settings(recipe)[0].latency_ms)
    with pytest.raises(RtsepError, match=rf"{recipe.name} takes at least {least} ms, got a latency of 20 ms"):
        choose_live_setting(recipe, "20")


@pytest.mark.parametrize("latency", ["", "high", "-5", "nan", "1e3", "93ms", "٩٣"])
def test_other_words_are_refused(latency: str) -> None:
    with pytest.raises(ArgumentError, match="standard, medium, low or milliseconds"):
        choose_live_setting(WINDOWS, latency)
