"""Output channels of stems: ``vocals=3-4``, counted from 1 as on the hardware.

A routed stem plays on its channels and no longer in the main mix on channels 1 and 2. Several may share an outlet. All
outlets together sum to the main mix without routing.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from rtsep.errors import UnsuitableDevice, UsageError


class Outlet(NamedTuple):
    """Two neighbouring channels of a device, counted from 0; or one twice, which gets the mean of both sides."""

    left: int
    right: int

    @property
    def channels(self) -> list[int]:
        """As people count them, from 1."""
        return sorted({self.left + 1, self.right + 1})

    def __str__(self) -> str:
        """Return ``channels 3-4`` or ``channel 5``."""
        return ("channel " if self.left == self.right else "channels ") + "-".join(map(str, self.channels))


Routes = Mapping[str, Outlet]
"""Outlets by stem name; stems not named go to the main mix."""
NO_ROUTES: Routes = MappingProxyType({})
MAIN = Outlet(0, 1)


def parse_routes(texts: Iterable[str]) -> dict[str, Outlet]:
    """``["vocals=3-4", "bass=5"]`` -> ``{"vocals": Outlet(2, 3), "bass": Outlet(4, 4)}``.

    UsageError for anything else, for a stem with two outlets, and for outlets that share one channel but not both.
    """
    routes: dict[str, Outlet] = {}
    for text in texts:
        stem, outlet = _parse(text)
        if stem in routes:
            raise UsageError(f"--to {text}: {stem} already goes to {routes[stem]}")
        for other in (MAIN, *routes.values()):
            if outlet != other and {*outlet} & {*other}:
                taken = "is taken" if other.left == other.right else "are taken"
                by = " by the main mix" if other == MAIN else ""
                raise UsageError(f"--to {text}: {other} {taken}{by}: name others")
        routes[stem] = outlet
    return routes


def _parse(text: str) -> tuple[str, Outlet]:
    match = re.fullmatch(r"\s*(\S.*?)\s*=\s*([0-9]{1,4})(?:-([0-9]{1,4}))?\s*", text)
    if match is not None:
        left, right = int(match[2]), int(match[3] or match[2])
        if left >= 1 and right == left + (match[3] is not None):
            return match[1], Outlet(left - 1, right - 1)
    raise UsageError(
        f"--to {text}: expected STEM=L-R, two neighbouring channels counted from 1, or STEM=N for a single one; "
        "for example vocals=3-4"
    )


def channels_needed(routes: Routes) -> int:
    """Return how many channels a device must be opened with."""
    return max(outlet.right + 1 for outlet in (MAIN, *routes.values()))


def check_channels(routes: Routes, device: str, channels: int) -> None:
    """Raise UnsuitableDevice if the device of that name has fewer `channels` than the routes need."""
    for stem, outlet in routes.items():
        if outlet.right >= channels:
            count = f"{channels} channel{'s' if channels > 1 else ''}"
            raise UnsuitableDevice(f"cannot send {stem} to {outlet}: {device} has {count}")


def routes_text(routes: Routes) -> str:
    """Return ``vocals to channels 3-4, bass to channel 5``."""
    return ", ".join(f"{stem} to {outlet}" for stem, outlet in routes.items())
