"""The log of a run: one JSON object per line, and TensorBoard files on request."""

from __future__ import annotations

import json
from pathlib import Path

from rtsep.files import write_atomically, write_errors

LOG = "log.jsonl"

Report = dict[str, float]


class RunLog:
    """Writes reports of steps and validations, each with its `step`, to a folder.

    `after`: continue after this step; later lines of a run that was killed are removed, since those steps are repeated.
    None begins a new log.
    """

    def __init__(self, folder: Path, after: int | None, tensorboard: bool = False) -> None:
        self.path = folder / LOG
        kept = [] if after is None else [line for line in self._lines() if _step(line) <= after]
        write_atomically(self.path, "".join(kept).encode())
        self._board = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=None if after is None else after + 1)

    def write(self, report: Report) -> None:
        """Append a report."""
        with write_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(report) + "\n")
        if self._board is not None:
            for name in report.keys() - {"step"}:
                self._board.add_scalar(name, report[name], int(report["step"]))

    def close(self) -> None:
        """Flush TensorBoard's files."""
        if self._board is not None:
            self._board.close()

    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []


def _step(line: str) -> float:
    """The step of a line; infinite for a line that a kill has truncated."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return float("inf")
