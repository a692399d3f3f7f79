"""One run of a player whose face is a page in the browser."""

from __future__ import annotations

import time
import webbrowser
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from rtsep.cli.session.options import PageOptions, PlaybackOptions
from rtsep.cli.session.run import Run
from rtsep.player.notices import Notices
from rtsep.ui import console
from rtsep.web.gate import Tickets
from rtsep.web.server import Server
from rtsep.web.stage import Stage

if TYPE_CHECKING:
    from rtsep.player.file_player import FilePlayer
    from rtsep.player.live_player import LivePlayer

REFRESH_S = 0.1


class PageSession(Run):
    """The server of the page, for as long as the player runs; a context manager. As `Session`, which has a terminal.

    Args:
        options: of the player.
        page: where the page is served.
        live: whether an input is separated.
        in_browser: whether the sound is heard in the browser.

    Attributes:
        stage: what the page sees.
        listeners: the pages that listen.
    """

    def __init__(self, options: PlaybackOptions, page: PageOptions, live: bool, in_browser: bool) -> None:
        super().__init__(options)
        self.stage = Stage(live, "browser" if in_browser else "device")
        self._page = page
        self._tickets = None if page.host is None else Tickets(self._show_link)
        self._server = Server(self.stage, page.host, page.port, self._tickets)
        self.listeners = self._server.listeners
        self._closing = ExitStack()

    def __enter__(self) -> PageSession:
        self._closing.enter_context(self._server)
        local = f"http://127.0.0.1:{self._server.port}/"
        console.say(f"page at {local}; control-C to quit")
        if self._tickets is not None:
            self._show_link()
        if not self._page.no_browser:
            webbrowser.open(local)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage.desk = None
        self._closing.close()

    def attach(self, player: FilePlayer | LivePlayer, notices: Notices) -> None:
        """As of `Run`; the page acts on the player once it plays."""
        super().attach(player, notices)
        self._closing.callback(self.desk.close)

    def end_starting(self) -> None:
        """The player plays: show it."""
        self.stage.set_desk(self.desk)

    def run(self) -> None:
        """Until a page or control-C, the usual end, quits; the end of the last song is none."""
        self.end_starting()
        try:
            while not self.desk.over.is_set():
                time.sleep(REFRESH_S)  # not a wait with a lock, which a second control-C would leave broken
                state = self.desk.state().player
                self.report(state)
                if self._is_over(state):
                    break
        except KeyboardInterrupt:
            self.interrupted = True
        self.stage.desk = None
        self._fade_out()

    def _show_link(self) -> None:
        """The link with a token that is good once, and the same as a QR code for a phone."""
        assert self._tickets is not None
        import io
        import socket

        import segno

        host = self._page.host
        if host in ("0.0.0.0", "::"):
            host = _address_of_this_machine() or socket.gethostname()
        link = (
            f"http://{f'[{host}]' if ':' in str(host) else host}:{self._server.port}/join?token={self._tickets.token}"
        )
        code = io.StringIO()
        segno.make(link, error="l").terminal(code, compact=True)
        console.write_lines(code.getvalue().rstrip())
        console.say(f"link for one device, good once: {link}")


def _address_of_this_machine() -> str | None:
    """The address by which the network reaches this machine; nothing is sent to find it."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # for documentation only, RFC 5737
        except OSError:
            return None
        return probe.getsockname()[0]
