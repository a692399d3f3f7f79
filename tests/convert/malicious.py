"""What must never run."""

from __future__ import annotations

import os
from pathlib import Path


class Malicious:
    """Makes the folder `proof` when a pickle that holds it is trusted."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.proof),)
