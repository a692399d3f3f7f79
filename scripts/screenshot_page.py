"""The picture of the page in docs: the real one, in a real browser. Needs the packages playwright and Chromium.

Run from the root of the repository: `python scripts/screenshot_page.py docs/page.png [PATH OF CHROMIUM]`.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SONG = min(Path("demo").glob("*/mixture.flac"))
LISTEN_MS = 12_000
COMMAND = (sys.executable, "-m", "rtsep", "ui", str(SONG), "--listen", "--no-browser", "--port", "0")


def main(picture: str, chromium: str = "/usr/bin/chromium") -> None:
    """Play the bundled song in the browser, its vocals muted, and write what the page looks like after some seconds."""
    with subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True) as player, sync_playwright() as playwright:
        assert player.stderr is not None
        address = next(found[0] for line in player.stderr if (found := re.search(r"http://\S+/", line)))
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport={"width": 1100, "height": 860}, color_scheme="dark")
        page.goto(address)
        page.wait_for_selector("#stems .mute", state="attached", timeout=120_000)
        page.click("#listen")
        page.click("#stems [aria-label='Mute vocals']")
        page.wait_for_timeout(LISTEN_MS)
        page.screenshot(path=picture)
        browser.close()
        player.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main(*sys.argv[1:])
