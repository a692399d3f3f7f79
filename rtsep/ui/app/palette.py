"""The command palette: every command of the table, found by typing a part of what it does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

import msgspec
from textual.command import DiscoveryHit, Hit, Hits, Provider

from rtsep.control.commands.base import Command
from rtsep.control.table import COMMANDS

if TYPE_CHECKING:
    from rtsep.ui.app.app import PlayerApp


class TableCommands(Provider):
    """The commands for textual's palette."""

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for text, kind in self._kinds():
            yield DiscoveryHit(text, partial(self._choose, kind))

    async def search(self, query: str) -> Hits:
        """Those that match."""
        matcher = self.matcher(query)
        for text, kind in self._kinds():
            score = matcher.match(text)
            if score > 0:
                yield Hit(score, matcher.highlight(text), partial(self._choose, kind), text=text)

    def _kinds(self) -> Iterator[tuple[str, type[Command]]]:
        """What a command does and its name, for those that this player has."""
        app = cast("PlayerApp", self.app)
        for kind in COMMANDS:
            if kind.live if app.is_live else kind.songs:
                yield f"{kind.text()} ({kind.name()})", kind

    def _choose(self, kind: type[Command]) -> None:
        app = cast("PlayerApp", self.app)
        if any(field.required for field in msgspec.structs.fields(kind)):
            app.ask_values(kind)
        else:
            app.do(kind())
