"""Bundles, which users call models: a folder with `recipe.toml`, `weights.safetensors` and `CARD.md`."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import platformdirs

from rtsep.errors import MissingWeights, RtsepError, UsageError, require_torch
from rtsep.files import read_text, write_atomically
from rtsep.live_settings import choose_live_setting
from rtsep.recipe import Recipe, encode_network, load_recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from rtsep.nn.contract import StreamingNetwork
    from rtsep.nn.segment_network import SegmentNetwork

Network = TypeVar("Network", bound="nn.Module")

DEFAULT_BUNDLE = "frame-transformer-2stems"
RECIPE_FILE, WEIGHTS_FILE, CARD_FILE = "recipe.toml", "weights.safetensors", "CARD.md"
WEIGHTS_TABLE = "[weights]    # of weights.safetensors, always last"


def build_network(recipe: Recipe, *, live: bool = False, latency: str = "standard") -> StreamingNetwork:
    """The recipe's network with fresh parameters, with its live settings or with its author's.

    `latency`: which of the live settings, as `choose_live_setting` takes it.

    Raises RtsepError if it cannot be built or is one of whole segments; MissingPackage without PyTorch.
    """
    require_torch(recipe.name)
    from rtsep.nn.segment_network import SegmentNetwork
    from rtsep.nn.spleeter import Spleeter
    from rtsep.nn.spleeter_live import LiveSpleeter
    from rtsep.nn.windowed import Windowed, WindowNetwork

    if recipe.segments is not None:
        raise RtsepError(
            f"{recipe.name} separates whole segments, not frames: use it with rtsep play or rtsep separate"
        )
    network = _construct(recipe)
    if isinstance(network, SegmentNetwork):
        raise RtsepError(f"{recipe.name}: {recipe.network} needs [segments]")
    window = choose_live_setting(recipe, latency).window if live else recipe.window
    if isinstance(network, WindowNetwork) != (window is not None):
        raise RtsepError(f"{recipe.name}: {recipe.network} {'does not take' if window else 'needs'} a [window]")
    if window is None:
        return network
    try:
        if window.deep_stride is None:
            settings = msgspec.structs.asdict(window)
            del settings["deep_stride"]
            return Windowed(network, **settings)
        if not isinstance(network, Spleeter):
            raise ValueError(f"deep_stride needs a Spleeter, and {recipe.network} is none")
        return LiveSpleeter(network, window.frames, window.stride, window.lookahead, window.deep_stride)
    except ValueError as error:
        raise RtsepError(f"{recipe.name}: [{'window' if window is recipe.window else 'live'}]: {error}") from error


def build_segment_network(recipe: Recipe) -> SegmentNetwork:
    """The network of a recipe with [segments], with fresh parameters. Raises RtsepError as `build_network`."""
    require_torch(recipe.name)
    from rtsep.nn.segment_network import SegmentNetwork

    network = _construct(recipe)
    if not isinstance(network, SegmentNetwork):
        raise RtsepError(f"{recipe.name}: {recipe.network} does not take [segments]")
    return network


def _construct(recipe: Recipe) -> Any:
    module_name, _, class_name = recipe.network.partition(":")
    try:
        network_class = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise RtsepError(f"{recipe.name}: the network {recipe.network} cannot be imported: {error}") from error
    from torch import nn

    if not (isinstance(network_class, type) and issubclass(network_class, nn.Module)):
        raise RtsepError(f"{recipe.name}: {recipe.network} is not a network: expected a subclass of torch.nn.Module")
    try:
        return network_class(stems=recipe.stems, channels=recipe.stft.channels, bins=recipe.stft.bins, **recipe.net)
    except (TypeError, ValueError) as error:
        raise RtsepError(f"{recipe.name}: [net] does not fit {recipe.network}: {error}") from error


@dataclass(frozen=True)
class Bundle:
    """A model's folder on disk; nothing is read until it is needed."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def recipe(self) -> Recipe:
        """Raises RtsepError if the recipe is missing or wrong."""
        return load_recipe(self.path / RECIPE_FILE)

    @property
    def weights_name(self) -> str:
        """The model whose weights it plays: its own name, or what its recipe's `weights_of` says."""
        return self.recipe.weights_of or self.name

    @property
    def weights_path(self) -> Path:
        """Where its weights are, or would be: for a model that plays another's, those of that one."""
        return self._owner.path / WEIGHTS_FILE

    @property
    def _owner(self) -> Bundle:
        """The bundle that holds the weights. Raises RtsepError if there is none, or it has another network."""
        if self.recipe.weights_of is None:
            return self
        owner = find_bundle(self.recipe.weights_of)
        if owner.recipe.weights_of is not None or encode_network(owner.recipe) != encode_network(self.recipe):
            raise RtsepError(
                f"{self.path / RECIPE_FILE}: weights_of = {owner.name!r}, which has another network or no weights of "
                "its own: name a model with the same network, stems, [stft] and [net]"
            )
        return owner

    @property
    def averaged_with(self) -> Bundle | None:
        """The model whose masks are averaged with its own. Raises RtsepError if there is none of that name."""
        return find_bundle(self.recipe.average.model) if self.recipe.average else None

    @property
    def has_weights(self) -> bool:
        """Whether all weights that it plays are on this machine. Raises RtsepError as `load_weights`."""
        other = self.averaged_with
        return self.weights_path.exists() and (other is None or other.has_weights)

    @property
    def sha256(self) -> str:
        """Of its recipes, which state the sha256 of the weights: what it is whatever it is called and wherever it lies.

        Raises RtsepError if a recipe cannot be read.
        """
        bundles = (self, self._owner, self.averaged_with)
        recipes = [read_text(bundle.path / RECIPE_FILE) for bundle in bundles if bundle is not None]
        return hashlib.sha256("\0".join(recipes).encode()).hexdigest()

    @property
    def licence(self) -> str:
        """Licence of the weights, of both models where two are averaged; empty for a bundle without weights."""
        weights = self._owner.recipe.weights
        own, other = weights.licence if weights else "", self.averaged_with
        if other is None or other.licence in ("", own):
            return own
        named = f"{other.licence} ({other.name})"
        return f"{own}, and {named}" if own else named

    def load_network(
        self, *, live: bool = False, latency: str = "standard", mask_extension: str | None = None
    ) -> StreamingNetwork:
        """The network with its weights, ready to step; `live` and `latency` as of `build_network`.

        Its own alone, where the recipe averages it with another: `rtsep.separation.backends.choose` loads both.

        `mask_extension` is set instead of the recipe's, see `rtsep.nn.spleeter.Spleeter`. Raises RtsepError if the
        weights are missing, were changed, or belong to another network; also for a network of whole segments;
        UsageError for a mask extension if the network has none.
        """
        network = self._filled(build_network(self.recipe, live=live, latency=latency))
        if mask_extension is not None:
            if network.mask_extension is None:
                raise self.no_mask_extension()
            network.mask_extension = mask_extension
        return network

    def no_mask_extension(self) -> UsageError:
        """The error that a mask extension was asked of a network that has none."""
        return UsageError(
            f"{self.name} separates all frequencies itself: a mask extension is for Spleeter's models, such as "
            "spleeter-2stems"
        )

    def load_segment_network(self) -> SegmentNetwork:
        """The network of whole segments with its weights. Raises RtsepError as `load_network`."""
        return self._filled(build_segment_network(self.recipe))

    def load_weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights by their names in the network's state dict, without torch.

        Raises RtsepError if they are missing, were changed, or belong to another network.
        """
        if self.recipe.weights_of:
            return self._owner.load_weights()
        if not self.weights_path.exists():
            training = f", or train them with `rtsep train {self.path}/{RECIPE_FILE}`"
            raise MissingWeights(
                f"{self.path} has no {WEIGHTS_FILE}: download it with `rtsep models get {self.name}`, "
                f"import weights with `rtsep models import`{'' if self.recipe.segments else training}"
            )
        self._check_sum()
        import numpy as np
        import safetensors

        try:
            with safetensors.safe_open(self.weights_path, framework="np") as file:
                header = file.metadata() or {}
                try:
                    weights = {key: file.get_tensor(key).astype(np.float32) for key in file.keys()}  # noqa: SIM118 - no dict
                except TypeError:  # bfloat16, which NumPy does not know: the upper half of a float32
                    raw = dict(safetensors.deserialize(self.weights_path.read_bytes()))
                    weights = {
                        key: (np.frombuffer(tensor["data"], "<u2").astype(np.uint32) << 16)
                        .view(np.float32)
                        .reshape(tensor["shape"])
                        if tensor["dtype"] == "BF16"
                        else file.get_tensor(key).astype(np.float32)
                        for key, tensor in raw.items()
                    }
        except (OSError, safetensors.SafetensorError) as error:
            raise RtsepError(f"{self.weights_path} is not a readable safetensors file: {error}") from error
        if header.get("rtsep") != encode_network(self.recipe):
            raise RtsepError(
                f"{self.weights_path} was made for another network than the one in {self.path / RECIPE_FILE}"
            )
        return weights

    def _filled(self, network: Network) -> Network:
        network = network.eval().requires_grad_(False)
        if not self.weights_path.exists() and next(network.parameters(), None) is None:
            return network
        import torch

        try:
            network.load_state_dict({name: torch.from_numpy(array) for name, array in self.load_weights().items()})
        except RuntimeError as error:
            raise RtsepError(
                f"{self.weights_path} does not fit {self.recipe.network}: {str(error).splitlines()[0]}"
            ) from error
        return network

    def _check_sum(self) -> None:
        expected = self.recipe.weights
        if expected is None:
            raise RtsepError(f"{self.path / RECIPE_FILE} has no [weights] table to verify {WEIGHTS_FILE} against")
        with self.weights_path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected.sha256:
            raise RtsepError(
                f"{self.weights_path} is damaged or was changed: its sha256 is {found[:12]}…, "
                f"expected {expected.sha256[:12]}…; download it again"
            )


def write_bundle(folder: Path, recipe: Recipe, recipe_text: str, parameters: dict[str, Tensor], licence: str) -> Bundle:
    """Write `recipe.toml` (the text, with its comments) and `weights.safetensors`, each of them whole or not at all.

    Args:
        recipe: what the text says.
        parameters: the state dict of `build_network(recipe)`, in the precision in which it is to be kept.
    """
    content = _serialise(parameters, {"rtsep": encode_network(recipe), "licence": licence})
    text = recipe_text.partition("\n[weights]")[0].rstrip()
    table = f'sha256 = "{hashlib.sha256(content).hexdigest()}"\nlicence = "{licence}"\n'
    write_atomically(folder / WEIGHTS_FILE, content)
    write_atomically(folder / RECIPE_FILE, f"{text}\n\n{WEIGHTS_TABLE}\n{table}".encode())
    return Bundle(folder)


def _serialise(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """A safetensors file. The same tensors give the same bytes; the library writes its metadata in random order."""
    import safetensors.torch

    content = safetensors.torch.save(tensors, metadata)
    start, end = 8, 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[start:end])
    header["__metadata__"] = metadata
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return content[:start] + text.ljust(end - start) + content[end:]


def bundle_folders() -> list[Path]:
    """The folders that are searched for bundles, in order: RTSEP_MODEL_DIR or else the user's cache, the package's."""
    package = Path(__file__).resolve().parent
    user = Path(os.environ.get("RTSEP_MODEL_DIR") or Path(platformdirs.user_cache_dir("rtsep")) / "models")
    return [user, package / "_bundles", package.parent / "models"]


def user_folder() -> Path:
    """Where downloaded and imported bundles are written: the first folder that is searched."""
    return bundle_folders()[0]


def list_bundles() -> list[Bundle]:
    """Every bundle that can be found by name, in order of name."""
    found: dict[str, Bundle] = {}
    for folder in bundle_folders():
        for recipe in sorted(folder.glob(f"*/{RECIPE_FILE}")):
            found.setdefault(recipe.parent.name, Bundle(recipe.parent))
    return [found[name] for name in sorted(found)]


def find_bundle(name_or_path: str | Path | None = None) -> Bundle:
    """A bundle by name, folder or recipe.toml; None is the default. Raises RtsepError if there is none."""
    if name_or_path is not None:
        path = Path(name_or_path)
        folder = path.parent if path.name == RECIPE_FILE else path
        if os.path.isfile(folder / RECIPE_FILE):  # false for too long a name, where Path raises
            return Bundle(folder.resolve())
    wanted = DEFAULT_BUNDLE if name_or_path is None else str(name_or_path)
    bundles = list_bundles()
    for bundle in bundles:
        if bundle.name == wanted:
            return bundle
    known = ", ".join(bundle.name for bundle in bundles) or "none"
    raise RtsepError(f"no model {wanted!r}: it is not a folder with {RECIPE_FILE}; available models: {known}")
