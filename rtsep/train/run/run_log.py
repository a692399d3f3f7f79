"""What a run tells while it goes on: a JSON object a line, and TensorBoard's own files where asked for."""

from __future__ import annotations

import json
from pathlib import Path

from rtsep.files import write_atomically, write_errors

LOG = "log.jsonl"

Report = dict[str, float]


class RunLog:
    """Reports of steps and validations, each with its `step`, into a folder.

    Goes on after step `after`: what a run that was killed has told beyond it is taken back, since it will be told
    again. None begins anew.
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
        """Let TensorBoard write what it has."""
        if self._board is not None:
            self._board.close()

    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []


def _step(line: str) -> float:
    """Infinite for a line that a kill has cut short."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return float("inf")
