"""Size, cost and latency of a recipe's network; those of the bundled models are recorded in a table.

Counting takes up to a second per network, and importing torch another one. The key of the table covers everything that
the values depend on, so a changed recipe, or one of a user, is counted.
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
    """Size of a network with its live settings.

    `latency_ms` is that of the standard mode at one frame per step, without margin and device; None for a network that
    only separates files. `gmac_per_s` is billions of multiply-adds per second of audio; None if unknown. `package` is
    the Python package that the network needs, in the extra of the same name.
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
    """Hash of everything a size depends on, except the code of the network."""
    settings = msgspec.json.encode([recipe.window, recipe.live, recipe.segments], order="deterministic")
    return hashlib.sha256(encode_network(recipe).encode() + settings).hexdigest()[:16]


def recorded_sizes() -> dict[str, Size]:
    """The recorded sizes by fingerprint."""
    return {size.recipe: size for size in msgspec.toml.decode(TABLE.read_bytes(), type=_Table).size}


def find_size(recipe: Recipe, recorded: dict[str, Size]) -> Size:
    """The recorded size, or the counted one. Raises RtsepError, or any error of the network, if it cannot be built."""
    size = recorded.get(fingerprint(recipe))
    if size is None:
        return count_size(recipe)
    if size.package and importlib.util.find_spec(size.package) is None:
        raise MissingPackage(f"the package {size.package} is not installed: pip install 'rtsep[{size.package}]'")
    return size


def count_size(recipe: Recipe) -> Size:
    """Count the size of a recipe's network. Raises as `find_size`."""
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
    """The recipe's network, if possible without values: millions of random numbers take seconds."""
    import torch

    from rtsep.bundle import build_network, build_segment_network

    def build() -> StreamingNetwork | SegmentNetwork:
        return build_segment_network(recipe) if recipe.segments is not None else build_network(recipe, live=True)

    try:
        with torch.device("meta"):
            return build()
    except Exception:  # a network is third-party code and may need values
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
    except Exception:  # as above
        return None
