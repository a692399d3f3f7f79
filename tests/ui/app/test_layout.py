"""What stands where: at every size the rows hold what they should, also in ASCII and without colours."""

from __future__ import annotations

import asyncio

import pytest
from rich.color import Color

from rtsep.player.faders import Fader
from rtsep.player.meters import Levels
from rtsep.ui.app.glyphs import ASCII, UNICODE, Glyphs, glyphs_of
from tests.ui.app.stage import STEMS, Stage, until

SIZES = [(80, 24), (40, 12), (200, 60), (20, 6), (300, 90)]


async def shown(stage: Stage, size: tuple[int, int]) -> list[str]:
    """The rows, once everything is there."""
    async with stage.app.run_test(size=size):
        await until(lambda: any("other" in row or "oth" in row for row in stage.rows()))
        await until(lambda: "boats" in stage.rows()[0].lower() or size[0] < 40)
        return stage.rows()


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("size", SIZES[:3], ids=lambda size: f"{size[0]}x{size[1]}")
def test_song_times_loop_faders_and_latency_are_there(size: tuple[int, int], glyphs: Glyphs) -> None:
    rows = asyncio.run(shown(Stage(glyphs=glyphs), size))
    assert len(rows) == size[1]
    assert "1:05/3:20" in rows[0] and "Boats" in rows[0]
    marks = next(row for row in rows if row.startswith("0:00"))
    assert marks.rstrip().endswith("3:20")
    begin, end = (marks.index(glyphs.loop[0]), marks.index(glyphs.loop[2]))
    assert begin / size[0] == pytest.approx(60 / 200, abs=1 / size[0])
    assert end / size[0] == pytest.approx(90 / 200, abs=1 / size[0])
    assert marks.index(glyphs.cue) / size[0] == pytest.approx(120 / 200, abs=1 / size[0])
    for number, stem in enumerate(STEMS):
        row = next(row for row in rows if f"{number + 1} {stem}" in row)
        assert ("[M]" in row) == (stem == "bass") and ("[S]" in row) == (stem == "other")
        assert ("-6" in row) == (stem == "drums") or size[0] > 40
    meters = [next(row for row in rows if stem in row).count(glyphs.fills[-1]) for stem in STEMS]
    assert meters[2] < meters[1] < meters[0] < meters[3]
    clipped = [stem for stem in STEMS if "!" in next(row for row in rows if stem in row)]
    assert clipped == ["other"]  # its peak is above 0 dB
    assert any("output" in row for row in rows)
    assert any("latency" in row and "faders 40 ms" in row for row in rows)
    assert "q quit" in rows[-1] or size[0] == 40
    if glyphs.ascii:
        assert all(row.isascii() for row in rows)


def test_a_terminal_much_too_small_or_large_does_no_harm() -> None:
    for size in SIZES[3:]:
        assert len(asyncio.run(shown(Stage(), size))) == size[1]


def test_live_sound_has_no_waveform_and_its_latency_as_a_sum() -> None:
    async def look() -> list[str]:
        stage = Stage(live=True)
        async with stage.app.run_test():
            await until(lambda: any("other" in row for row in stage.rows()))
            return stage.rows()

    rows = asyncio.run(look())
    assert "live 1:05" in rows[0] and "recorded 0:12" in rows[0]
    assert not any(row.startswith("0:00") for row in rows)
    assert any("93 + 10 + 40 = 143 ms" in row for row in rows)


def test_no_color_leaves_none() -> None:
    async def colours() -> set[Color | None]:
        stage = Stage()
        async with stage.app.run_test():
            await until(lambda: any("other" in row for row in stage.rows()))
            strips = stage.app.screen._compositor.render_strips()
            filters = stage.app._filters
            segments = [segment for strip in strips for segment in strip]
            for each in filters:
                if each.enabled:
                    segments = each.apply(segments, stage.app.screen.background_colors[1])
            return {segment.style.color for segment in segments if segment.style is not None}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_COLOR", "1")
        assert {colour for colour in asyncio.run(colours()) if colour is not None and not colour.is_default} == set()


def test_the_size_may_change_at_any_time() -> None:
    async def resize() -> None:
        stage = Stage()
        async with stage.app.run_test(size=(80, 24)) as pilot:
            await until(lambda: any("+0.0 dB" in row for row in stage.rows()))
            await pilot.resize_terminal(40, 12)
            await until(lambda: len(stage.rows()[0]) == 40 and any("latency" in row for row in stage.rows()))
            await pilot.resize_terminal(200, 60)
            await until(lambda: any("+0.0 dB" in row and len(row) == 200 for row in stage.rows()))
            columns = next(row for row in stage.rows() if row.startswith("0:00")).rstrip()
            assert len(columns) == 200

    asyncio.run(resize())


def test_hostile_names_stay_in_their_row() -> None:
    bad = "\x1b]0;title\a\x1b[31m\n" + "日本語" * 40

    async def look() -> list[str]:
        stage = Stage(stems=(bad, "[red]drums[/]"), faders=(Fader(), Fader()), levels=(Levels(), Levels()))
        stage.overview.title, stage.overview.artist = bad, bad  # type: ignore[union-attr]
        stage.lines.append(bad)
        async with stage.app.run_test():
            await until(lambda: any("[red]" in row for row in stage.rows()))
            stage.press("e")
            await until(lambda: sum("本" in row for row in stage.rows()) > 3)
            return stage.rows()

    rows = asyncio.run(look())
    assert not any("\x1b" in row or "\n" in row for row in rows)
    assert "\\x1b]0" in rows[0]


@pytest.mark.parametrize(
    ("environment", "glyphs"),
    [
        ({}, UNICODE),
        ({"LANG": "en_US.UTF-8"}, UNICODE),
        ({"LANG": "de_DE.utf8", "LC_ALL": ""}, UNICODE),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, ASCII),
        ({"LC_CTYPE": "C.UTF-8", "LANG": "C"}, UNICODE),
        ({"LANG": "de_DE.ISO-8859-1"}, ASCII),
    ],
)
def test_the_locale_decides_what_is_drawn_with(environment: dict[str, str], glyphs: Glyphs) -> None:
    assert glyphs_of(environment) is glyphs
