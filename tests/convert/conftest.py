"""A web server for each test that asks for one, reached past any proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.convert.web import Web, serve


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("rtsep.convert.fetch.download.WAIT_S", 0.01)
    with serve() as server:
        yield server
