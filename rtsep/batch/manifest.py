"""Manifests: a hidden file beside a song's outputs that says what they were made from, and how.

A song is done if its manifest states the same input, model, options and version of rtsep as a new one would, and every
output is there in the size that it states. A manifest is removed before its outputs are made anew and written after the
last of them, so that an interrupted run never leaves one that is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtsep.errors import RtsepError
from rtsep.files import sync_folder, write_atomically, write_errors

_FORM = 1  # of the manifest itself


@dataclass(frozen=True)
class Input:
    """A song as it was before it was read. `of` raises RtsepError if it cannot be read."""

    path: Path
    size: int
    changed_ns: int
    sha256: str

    @staticmethod
    def of(path: Path) -> Input:
        try:
            with path.open("rb") as file:
                before = os.stat(file.fileno())
                return Input(path, before.st_size, before.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise RtsepError(f"cannot read {path}: {error.strerror or error}") from error

    def check_unchanged(self) -> None:
        """Raise RtsepError if the file is another one by now, or still grows."""
        with suppress(OSError):  # removed meanwhile: what was read was whole
            now = self.path.stat()
            if (now.st_size, now.st_mtime_ns) != (self.size, self.changed_ns):
                raise RtsepError(f"{self.path} changed while it was read; separate it again when it is complete")


class Manifest:
    """The manifest of one song's outputs.

    Args:
        outputs: the files that the song becomes; the manifest lies in the folder that holds all of them.
        made_from: what decides on their content, as JSON has it: input, model, options.
    """

    def __init__(self, outputs: Iterable[Path], made_from: Mapping[str, Any]) -> None:
        self._outputs = sorted(outputs)
        self._folder = Path(os.path.commonpath([path.parent for path in self._outputs]))
        names = "\0".join(str(path.relative_to(self._folder)) for path in self._outputs)
        key = hashlib.sha256(os.fsencode(names)).hexdigest()[:8]
        self.path = self._folder / f".rtsep-{key}.json"
        # As it comes back from the file: lists for tuples, text for names.
        self._made_from = json.loads(json.dumps({"manifest": _FORM, **made_from}))

    def is_fulfilled(self) -> bool:
        """Whether the outputs were made from the same, and are all there."""
        try:
            found = json.loads(self.path.read_bytes())
            return found == self._made_from | {"outputs": self._sizes()}
        except (OSError, ValueError):  # not there, or not a manifest
            return False

    def remove(self) -> None:
        """Before the outputs are made anew. Raises RtsepError if the file system refuses."""
        with write_errors(self.path), suppress(FileNotFoundError):
            self.path.unlink()

    def write(self) -> None:
        """When the outputs have their names. Raises RtsepError if the file system refuses."""
        for folder in {path.parent for path in self._outputs}:
            sync_folder(folder)  # or after a power failure the manifest might be there without them
        with write_errors(self.path):
            content = self._made_from | {"outputs": self._sizes()}
        write_atomically(self.path, (json.dumps(content, indent=1) + "\n").encode())

    def _sizes(self) -> dict[str, int]:
        return {str(path.relative_to(self._folder)): path.stat().st_size for path in self._outputs}
