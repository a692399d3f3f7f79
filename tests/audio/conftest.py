"""What several tests of audio share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audio.files.material import FORMATS, music, write


@pytest.fixture(scope="session")
def formats(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of 20.3 s in every format that libsndfile reads."""
    folder = tmp_path_factory.mktemp("formats")
    return {
        name: write(
            folder / f"a.{name}",
            music(20.3, 48000 if name == "opus" else 44100),
            48000 if name == "opus" else 44100,
            **how,
        )
        for name, how in FORMATS.items()
    }
