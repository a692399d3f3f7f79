"""Fixtures of the tests that play in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.running import Typist
from tests.virtual_audio import VirtualAudio


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of quiet noise."""
    path = tmp_path_factory.mktemp("song") / "noise.wav"
    noise = np.random.default_rng(0).uniform(-0.25, 0.25, (6 * 44100, 2)).astype(np.float32)
    soundfile.write(path, noise, 44100, subtype="FLOAT")
    return path


@pytest.fixture
def typist(virtual_audio: VirtualAudio) -> Iterator[Callable[..., Typist]]:
    made: list[Typist] = []

    def make(*arguments: object, **options: int) -> Typist:
        made.append(Typist(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
