"""The process of the app: `python -m rtsep.ui.app.main NUMBER play|live`, started by `rtsep.cli.session.app_process`.

NUMBER is the descriptor of a socket that it inherits; see `rtsep.ui.app.protocol` for what goes through it. The app
draws on stderr, reads keys from stdin, and ends when the socket is closed.
"""

from __future__ import annotations

import signal
import sys
from multiprocessing.connection import Connection

from rtsep.ui.app.app import PlayerApp
from rtsep.ui.app.glyphs import glyphs_of
from rtsep.ui.console import make_streams_safe


def main() -> int:
    """Run the app until it or the process that plays ends. Returns the exit code."""
    make_streams_safe()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # control-C is a key here; one from elsewhere is for the other process
    connection = Connection(int(sys.argv[1]))

    def exchange(request: bytes) -> bytes:
        connection.send_bytes(request)
        return connection.recv_bytes()

    app = PlayerApp(exchange, is_live=sys.argv[2] == "live", glyphs=glyphs_of())
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("rtsep.ui.app.main is started by rtsep itself")
    sys.exit(main())
