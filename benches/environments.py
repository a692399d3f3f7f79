"""Virtual environments for the programs that rtsep is compared with: OUT/peers/NAME, made on request with pip.

They use packages of this environment (torch), and install nothing into it.
"""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtsep.errors import RtsepError

PROGRAMS = Path(__file__).parent / "peer_programs"
LIMIT_S = 1800.0
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")


def install(name: str, packages: Sequence[str], out: Path) -> None:
    """Make the environment and install packages; those of this environment, such as torch, are not installed again."""
    home = _home(name, out)
    venv.create(home, with_pip=True, clear=True)
    own = sysconfig.get_path("purelib", vars={"base": str(home)})
    Path(own, "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n", encoding="utf-8")
    print(f"installing {name} into {home}", file=sys.stderr, flush=True)
    done = subprocess.run([str(_python(home)), "-m", "pip", "install", "-qq", *packages])
    if done.returncode:
        raise RtsepError(f"pip could not install {name}")


def answer(
    name: str, arguments: Sequence[str], out: Path, remedy: str, path: Path | None = None, program: str | None = None
) -> Any:
    """Run a peer program with one thread in its environment, and return the JSON of its last line of output.

    Args:
        remedy: the command that installs it.
        path: an additional folder for its imports.
        program: its name, if it differs from that of the environment.

    Raises RtsepError if it is not installed, takes too long or fails.
    """
    python = _python(_home(name, out))
    if not python.exists():
        raise RtsepError(f"{name} is not installed: run {remedy}")
    script = PROGRAMS / f"{(program or name).replace('-', '_')}.py"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | ONE_THREAD
    try:
        done = subprocess.run(
            [str(python), "-P", str(script), *arguments],
            env=environment | ({} if path is None else {"PYTHONPATH": str(path)}),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise RtsepError(f"{name} took more than {LIMIT_S:.0f} s: skipped") from None
    except (subprocess.CalledProcessError, ValueError, IndexError) as error:
        words = (getattr(error, "stderr", "") or "").strip().splitlines()
        line = f"{name} failed: {words[-1] if words else error}"
        raise RtsepError(line.replace(str(_home(name, out)), name)) from None


def _home(name: str, out: Path) -> Path:
    return (out / "peers" / name).resolve()


def _python(home: Path) -> Path:
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
