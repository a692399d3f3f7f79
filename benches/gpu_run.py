"""Everything that a CUDA card is to show, in one command for a machine that has little: `python -m benches.gpu_run`.

    1  tests of CUDA: a captured step equals an eager one over 500 hops, a reset and a restore; a lost device
    2  the step, paced at 23.2 ms with pauses of 5 s and back to back, with and without keeping the card awake
    3  `rtsep separate` from start to end, and the network alone
    4  Spleeter live at the shortest delay, and with a window for every frame
    5  training for the rest of the time, with a checkpoint in the results every minute

The machine needs Python with PyTorch, numba, NumPy, SciPy and safetensors. What else rtsep needs, and the music, lie in
a folder that `python -m benches.gpu_pack` fills; no index is asked. Without a card the same runs on the CPU, as a
rehearsal. Results: `gpu_run.json`, written after every stage, the weights and their recipe, and the training's log.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
BEGAN = "RTSEP_GPU_RUN_BEGAN"
SPARE_S = 20.0
"""Of the time, for the last checkpoint and the end."""


def install(wheels: Path, began_s: float) -> None:
    """Install the wheels beside what there is, and begin again with them."""
    site = tempfile.mkdtemp(prefix="rtsep-site-")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", site, *map(str, sorted(wheels.glob("*.whl")))], check=True)
    paths = [str(REPOSITORY), site, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), BEGAN: str(began_s)}
    os.execve(sys.executable, [sys.executable, "-m", "benches.gpu_run", *sys.argv[1:]], environment)


class Run:
    """The stages done so far and their results, kept in a file.

    Args:
        out: folder of the results.
        deadline_s: of `time.time()`, when the command must have ended.
    """

    def __init__(self, out: Path, deadline_s: float, facts: dict[str, Any]) -> None:
        self.out, self.deadline_s = out, deadline_s
        self.results = facts | {"stages": {}}
        self.failed = False

    def left_s(self) -> float:
        """Seconds that a stage may still take."""
        return self.deadline_s - SPARE_S - time.time()

    def stage(self, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Do one stage: an error in it is a result, and the next one follows."""
        began = time.time()
        print(f"== {name}, {self.left_s():.0f} s left", flush=True)
        try:
            found = measure()
        except Exception as error:  # whatever it is: the card is at hand for minutes only
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
        self.failed |= "error" in found
        self.results["stages"][name] = found | {"seconds": round(time.time() - began, 1)}
        self.save()
        print(json.dumps(self.results["stages"][name]), flush=True)

    def save(self) -> None:
        """Write the results."""
        (self.out / "gpu_run.json").write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path(os.environ.get("OUT", "out/gpu")), help="folder of the results"
    )
    parser.add_argument("--carried", type=Path, default=REPOSITORY / ".gpu", help="folder from benches.gpu_pack")
    parser.add_argument("--seconds", type=float, default=540.0, help="the command ends in less")
    parser.add_argument("--compute", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--batch", type=int, default=64, help="crops of a training step")
    parser.add_argument("--paced-s", type=float, default=12.0, help="seconds of paced steps, twice")
    wanted = parser.parse_args()
    began_s = float(os.environ.get(BEGAN, time.time()))
    wheels = wanted.carried / "wheels"
    if BEGAN not in os.environ and wheels.is_dir():
        install(wheels, began_s)
    wanted.out.mkdir(parents=True, exist_ok=True)
    import numba
    import numpy as np
    import torch

    from benches import gpu_stages as stages
    from rtsep.separation.backends.pytorch import choose_compute

    device = choose_compute(wanted.compute)
    facts = {
        "command": " ".join(["python -m benches.gpu_run", *sys.argv[1:]]),
        "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began_s)),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU of {platform.node()}",
        "cores": os.cpu_count(),
        "versions": {"Python": platform.python_version(), "torch": torch.__version__, "CUDA": torch.version.cuda}
        | {"numba": numba.__version__, "numpy": np.__version__},
    }
    run = Run(wanted.out, began_s + wanted.seconds, facts)
    compute = str(device)
    run.stage("tests", lambda: stages.run_tests(min(150.0, run.left_s())))
    run.stage("steps", lambda: stages.measure_steps(compute, wanted.paced_s))
    run.stage("separate", lambda: stages.measure_separation(device, min(120.0, run.left_s())))
    run.stage("spleeter live", lambda: stages.measure_spleeter(compute))
    run.stage("training", lambda: stages.train(wanted.carried, wanted.out, device, wanted.batch, run.left_s))
    print(f"results in {wanted.out}; {time.time() - began_s:.0f} s", flush=True)
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
