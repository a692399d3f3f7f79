"""Cancellation of a separation between two blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rtsep.errors import Cancelled

Item = TypeVar("Item")
Cancel = Callable[[], bool]
"""Whether to end, such as `is_set` of a `threading.Event`."""


def check(cancel: Cancel | None) -> None:
    """Raise Cancelled if `cancel` says so."""
    if cancel is not None and cancel():
        raise Cancelled("the separation was cancelled")


def until(cancel: Cancel | None, items: Iterable[Item]) -> Iterator[Item]:
    """The items, with a `check` before each."""
    check(cancel)
    for item in items:
        yield item
        check(cancel)
