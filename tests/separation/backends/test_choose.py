"""Who computes a network's steps, and that it is done without PyTorch where it can be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rtsep.bundle import Bundle
from rtsep.errors import RtsepError, UsageError
from rtsep.separation.backends.choose import load_stepper
from rtsep.separation.backends.constant import ConstantStepper
from rtsep.separation.backends.pytorch import TorchStepper, choose_compute

PROGRAM = """
import sys
from rtsep.bundle import Bundle
from rtsep.separation.backends.stepper import warm_up
from rtsep.separation.backends.choose import load_stepper
from pathlib import Path

stepper = load_stepper(Bundle(Path(sys.argv[1])), "cpu", 4)
warm_up(stepper, [1, 4])
print(stepper.way, "torch" in sys.modules)
"""


def test_our_own_networks_need_no_torch_on_the_cpu(default_bundle: Path, constant_bundle: Callable[..., Path]) -> None:
    for bundle, way in ((default_bundle, "compiled"), (constant_bundle(vocals=0.5, instrumental=1.0), "constant")):
        done = subprocess.run([sys.executable, "-c", PROGRAM, str(bundle)], capture_output=True, text=True)
        assert done.stdout.split() == [way, "False"], done.stderr


def test_constant_masks_are_those_of_the_network(constant_bundle: Callable[..., Path]) -> None:
    bundle = Bundle(constant_bundle(vocals=0.25, instrumental=0.75))
    stepper = load_stepper(bundle, "cpu", 5)
    eager = load_stepper(bundle, "cpu", 5, compiled=False)
    assert isinstance(stepper, ConstantStepper)
    assert isinstance(eager, TorchStepper)
    for name in ("stems", "channels", "bins", "context_frames", "lookahead_frames", "max_chunk", "compute"):
        assert getattr(stepper, name) == getattr(eager, name)
    for frames in (1, 5, 3):
        magnitudes = np.zeros((stepper.channels, stepper.bins, frames), np.float32)
        np.testing.assert_array_equal(stepper.step(magnitudes), eager.step(magnitudes))
    with pytest.raises(ValueError, match="expected magnitudes"):
        stepper.step(np.zeros((stepper.channels, stepper.bins, 6), np.float32))


def test_the_compiled_stepper_tells_of_itself_what_the_network_does(default_bundle: Path) -> None:
    bundle = Bundle(default_bundle)
    stepper, eager = load_stepper(bundle, "cpu", 2), TorchStepper(bundle.load_network(), choose_compute("cpu"), 2)
    for name in ("stems", "channels", "bins", "context_frames", "lookahead_frames", "max_chunk", "compute"):
        assert getattr(stepper, name) == getattr(eager, name)


def test_a_recipe_that_does_not_fit_is_told_in_one_line(tmp_path: Path) -> None:
    recipe = 'name = "odd"\nnetwork = "rtsep.nn.constant:ConstantMask"\nstems = ["vocals", "drums"]\n\n[net]\n'
    for net in ("gains = [1.0]", "loudness = 3"):
        (tmp_path / "recipe.toml").write_text(recipe + net)
        with pytest.raises(RtsepError, match="does not fit rtsep.nn.constant:ConstantMask"):
            load_stepper(Bundle(tmp_path), "cpu")


def test_a_driver_without_a_card_changes_nothing(
    constant_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    monkeypatch.setattr(
        "rtsep.separation.backends.choose.ctypes.CDLL", lambda name: object()
    )  # as if it could be loaded
    assert load_stepper(Bundle(constant_bundle()), "auto").way == "constant"


def test_an_unknown_device_is_refused(constant_bundle: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="gpu"):
        load_stepper(Bundle(constant_bundle()), "gpu")
