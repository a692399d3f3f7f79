"""Every line is reported once for each time that it came true."""

from __future__ import annotations

from rtsep.cli.output.notifications import GONE_S, Notifications
from rtsep.player.notices import NOTICES_KEPT, Notices


def test_an_event_that_happens_twice_is_reported_twice() -> None:
    notices = Notices()
    news = Notifications(notices)
    said = []
    for second in range(6):
        if second % 2 == 0:
            notices.append("the device is gone")
        said += news.look((), (), float(second))
    assert said == list(news.reported) == ["the device is gone"] * 3


def test_events_before_the_first_look_are_reported() -> None:
    notices = Notices()
    notices.append("a")
    notices.append("a")
    assert Notifications(notices).look((), (), 0.0) == ["a", "a"]


def test_each_failure_is_reported_and_none_is_a_notice() -> None:
    news = Notifications(Notices())
    assert news.look(("song.wav breaks off", "the engine has given up"), (), 0.0) == [
        "song.wav breaks off",
        "the engine has given up",
    ]
    assert news.look(("song.wav breaks off", "song.wav breaks off", "the engine has given up"), (), 1.0) == [
        "song.wav breaks off"
    ]
    assert news.look(("song.wav breaks off", "song.wav breaks off", "the engine has given up"), (), 2.0) == []
    assert list(news.reported) == []


def test_a_condition_is_reported_when_it_starts_and_not_while_it_flickers() -> None:
    news = Notifications(Notices())
    said = [line for look in range(100) for line in news.look((), ("too slow",) if look % 3 else (), look / 20)]
    assert said == ["too slow"]
    assert news.look((), (), 5.0 + GONE_S / 2) == []
    assert news.look((), ("too slow", "not numbers"), 5.0 + GONE_S + 1.0) == ["too slow", "not numbers"]
    assert list(news.reported) == ["too slow", "too slow", "not numbers"]


def test_the_record_of_reports_does_not_grow() -> None:
    notices = Notices()
    news = Notifications(notices)
    for number in range(NOTICES_KEPT + 13):
        notices.append(str(number))
        assert news.look((), (), 0.0) == [str(number)]
    assert list(news.reported) == [str(number) for number in range(13, NOTICES_KEPT + 13)]
