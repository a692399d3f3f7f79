"""Child processes: configured, read, ended; and what goes wrong when they can't be started."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from rtsep.errors import RtsepError
from rtsep.system.spawn import ChildProcess


def test_a_child_gets_its_configuration_and_ends_with_its_stdin() -> None:
    child = ChildProcess("json.tool", {"chunk": 4})
    child.end()
    assert child.stdout.read().split() == [b"{", b'"chunk":', b"4", b"}"]
    assert child.wait() is None
    assert child.pid is None
    child.close()
    child.close()


def test_a_child_that_dies_at_once_gives_its_reason() -> None:
    child = ChildProcess("rtsep.no_such_module", {"padding": "x" * 200_000})  # more than a pipe holds: nobody reads it
    reason = child.wait()
    assert reason is not None
    assert "No module named rtsep.no_such_module" in reason
    child.close()


def test_without_a_temporary_folder_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(RtsepError, match="set TMPDIR to a writable folder"):
        ChildProcess("json.tool", {})
