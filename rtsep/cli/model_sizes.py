"""How large a recipe's network is, what it costs and how late it answers: recorded for those that come along.

To count takes some of them a second, and to import torch takes one already. What is recorded is found by everything
that it follows from, so a recipe that was changed, or is somebody's own, is counted.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from rtsep.errors import MissingPackage
from rtsep.recipe import Recipe, encode_network
from rtsep.timebase import HOP, SAMPLE_RATE

if TYPE_CHECKING:
    from rtsep.nn.contract import StreamingNetwork
    from rtsep.nn.segment_network import SegmentNetwork

TABLE = Path(__file__).with_name("sizes.toml")
"""Written by `python -m benches.sizes`."""


class Size(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a network with its live settings.

    `latency_ms` is that of the standard mode, at one frame a step, without margin and device, None for one that is for
    files alone; `gmac_per_s` are billions of multiply-adds for each second of sound, None where that cannot be told.
    `package` is what must be installed beside rtsep, as the extra of that name.
    """

    name: str
    recipe: str
    """`fingerprint`"""
    parameters: int
    gmac_per_s: float | None = None
    latency_ms: float | None = None
    package: str | None = None


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    size: tuple[Size, ...]


def fingerprint(recipe: Recipe) -> str:
    """Of all that a size follows from; of the network's code, only where it is."""
    settings = msgspec.json.encode([recipe.window, recipe.live, recipe.segments], order="deterministic")
    return hashlib.sha256(encode_network(recipe).encode() + settings).hexdigest()[:16]


def recorded_sizes() -> dict[str, Size]:
    """By fingerprint."""
    return {size.recipe: size for size in msgspec.toml.decode(TABLE.read_bytes(), type=_Table).size}


def find_size(recipe: Recipe, recorded: dict[str, Size]) -> Size:
    """As it is recorded, or counted now. Raises RtsepError, or whatever the network raises, if it cannot be built."""
    size = recorded.get(fingerprint(recipe))
    if size is None:
        return count_size(recipe)
    if size.package and importlib.util.find_spec(size.package) is None:
        raise MissingPackage(f"it needs the package {size.package}: pip install 'rtsep[{size.package}]'")
    return size


def count_size(recipe: Recipe) -> Size:
    """Raises as `find_size`."""
    from rtsep.nn.segment_network import SegmentNetwork

    network = _outline(recipe)
    if isinstance(network, SegmentNetwork):
        latency_ms = None
    else:
        latency_ms = round(1000 * (recipe.stft.n_fft + network.lookahead_frames * HOP) / SAMPLE_RATE, 1)
    return Size(
        name=recipe.name,
        recipe=fingerprint(recipe),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gmac_per_s=_gmac_per_s(recipe, network),
        latency_ms=latency_ms,
    )


def _outline(recipe: Recipe) -> StreamingNetwork | SegmentNetwork:
    """The recipe's network, without its numbers where it can be built so: millions of random ones take seconds."""
    import torch

    from rtsep.bundle import build_network, build_segment_network

    def build() -> StreamingNetwork | SegmentNetwork:
        return build_segment_network(recipe) if recipe.segments is not None else build_network(recipe, live=True)

    try:
        with torch.device("meta"):
            return build()
    except Exception:  # a network is anybody's code; it may want to see numbers
        return build()


def _gmac_per_s(recipe: Recipe, network: StreamingNetwork | SegmentNetwork) -> float | None:
    from rtsep.nn.cost import multiply_adds_per_frame, multiply_adds_per_segment
    from rtsep.nn.segment_network import SegmentNetwork

    try:
        if isinstance(network, SegmentNetwork):
            assert recipe.segments is not None
            stride = (1 - recipe.segments.overlap) * network.segment_samples
            return round(multiply_adds_per_segment(network) * SAMPLE_RATE / stride / 1e9, 3)
        return round(multiply_adds_per_frame(network) * SAMPLE_RATE / HOP / 1e9, 3)
    except Exception:  # as above: only its author knows what it does with sizes alone
        return None
