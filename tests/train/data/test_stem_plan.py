"""Which stems come of which files: what is known is right, and all of them sum to the song."""

from itertools import chain, combinations

import numpy as np
import pytest

from rtsep.train.data.stem_plan import UnusableSong, canonical_name, plan_stems
from tests.train.sounds import FOUR, TWO

LEVELS = {"vocals": 1.0, "drums": 10.0, "bass": 100.0, "other": 1000.0, "mixture": 1111.0, "instrumental": 1110.0}
WHOLES = {"mixture", "instrumental"}
SUBSETS = [
    set(subset)
    for subset in chain.from_iterable(combinations(LEVELS, size) for size in range(1, 7))
    if not {"other", "instrumental"} <= set(subset)
]


def levels(parts: set[str], stems: tuple[str, ...]) -> tuple[dict[str, float], dict[str, bool]]:
    plan = plan_stems(sorted(parts), stems)
    values = plan.weights @ np.array([LEVELS[part] for part in plan.inputs])
    return dict(zip(stems, values, strict=True)), dict(zip(stems, plan.known, strict=True))


@pytest.mark.parametrize("stems", [TWO, FOUR, ("vocals", "piano", "drums", "bass", "other")], ids=len)
@pytest.mark.parametrize("parts", SUBSETS, ids=lambda parts: "-".join(sorted(parts)))
def test_what_is_known_is_right_and_the_stems_sum_to_the_song(parts: set[str], stems: tuple[str, ...]) -> None:
    separate = parts >= {"vocals", "other"} or not parts & WHOLES
    sounding = parts - WHOLES if separate else {"vocals", "drums", "bass", "other"}
    song = sum(LEVELS[part] for part in sounding)
    try:
        values, known = levels(parts, stems)
    except UnusableSong:
        assert "vocals" not in parts or parts == {"vocals"}
        return
    assert sum(values.values()) == pytest.approx(song)
    truth = {part: LEVELS[part] if part in sounding else 0.0 for part in LEVELS}
    truth |= {"piano": 0.0, "instrumental": song - truth["vocals"]}
    for stem in stems:
        assert not known[stem] or values[stem] == pytest.approx(truth[stem]), stem
    assert any(known.values())


@pytest.mark.parametrize(
    ("parts", "stems", "known"),
    [
        ({"vocals", "drums", "bass", "other", "mixture"}, FOUR, FOUR),
        ({"vocals", "mixture"}, TWO, TWO),
        ({"mixture", "instrumental"}, TWO, TWO),
        ({"vocals", "drums"}, FOUR, FOUR),  # nothing else sounds in the sum of these two
        ({"vocals", "drums", "bass", "mixture"}, FOUR, FOUR),
        ({"vocals", "mixture"}, FOUR, ("vocals",)),
        ({"mixture", "instrumental"}, FOUR, ("vocals",)),
        ({"vocals", "instrumental"}, FOUR, ("vocals",)),
        ({"drums", "mixture"}, FOUR, ("drums",)),
        ({"vocals", "drums", "other"}, FOUR, ("vocals", "drums")),  # the bass may lie in other
    ],
)
def test_how_much_is_known(parts: set[str], stems: tuple[str, ...], known: tuple[str, ...]) -> None:
    assert tuple(stem for stem, sure in levels(parts, stems)[1].items() if sure) == known


def test_parts_without_a_stem_of_their_own_are_other_or_instrumental() -> None:
    plan = plan_stems(["vocals", "drums", "guitar", "other"], FOUR)
    assert not plan.known[2]  # the bass may lie in other
    plan = plan_stems(["vocals", "drums", "bass", "guitar", "other"], FOUR)
    assert all(plan.known)
    assert plan.weights[3].tolist() == [float(part in ("guitar", "other")) for part in plan.inputs]
    plan = plan_stems(["vocals", "guitar", "kazoo"], TWO)
    assert plan.weights.tolist() == [[1, 0, 0], [0, 1, 1]]


def test_a_mixture_is_not_read_where_its_stems_are_there() -> None:
    assert plan_stems([*FOUR, "mixture"], FOUR).inputs == FOUR
    assert plan_stems([*FOUR, "mixture"], TWO).inputs == FOUR


def test_silent_stems_are_known_to_be_silent() -> None:
    plan = plan_stems(["instrumental"], FOUR, silent={"vocals"})
    assert plan.known == (True, False, False, False)
    assert plan.weights.tolist() == [[0], [1], [0], [0]]
    plan = plan_stems(["vocals"], TWO, silent={"instrumental"})
    assert plan.known == (True, True) and plan.weights.tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"vocals"}, "vocals without an accompaniment"),
        ({"drums", "bass"}, "no vocals"),
        ({"instrumental"}, "no vocals, and no mixture"),
        ({"mixture"}, "only mixture: none of vocals, instrumental"),
        ({"mixture", "drums"}, "only drums and mixture"),
    ],
)
def test_why_nothing_can_be_learnt(parts: set[str], reason: str) -> None:
    with pytest.raises(UnusableSong, match=reason):
        plan_stems(sorted(parts), TWO)


def test_other_programs_names_of_parts() -> None:
    assert [canonical_name(word) for word in ("Accompaniment", "no_vocals", "mix", "Drums")] == [
        "instrumental",
        "instrumental",
        "mixture",
        "drums",
    ]
