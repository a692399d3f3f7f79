"""Other runtimes for a network's step: is any of them better than what the engine has?

The same frames of the bundled song go through every way in turn, a step each, on one thread: our machine code, PyTorch
in fp32 and bf16, ONNX Runtime in fp32 and with int8 weights, OpenVINO in fp32 and bf16; these with the state as input
and output of the graph. Beside the times stands how near the masked mixture is to PyTorch's in fp32,
and how much further from the true stems.
"""

from __future__ import annotations

from pathlib import Path

from benches import environments
from benches.report import SONG, Report, Table, tail
from rtsep.bundle import find_bundle
from rtsep.errors import RtsepError

NAME = "runtimes"
PACKAGES = ("onnx", "onnxruntime", "onnxscript", "openvino")
CHUNKS = (1, 4, 32)


def run(install: bool, frames: int, model: str | None, out: Path) -> int:
    """Measure all that are there, and write."""
    bundle = find_bundle(model)
    if install:
        environments.install(NAME, PACKAGES, out)
    report = Report(NAME, "Ways to compute a step", "one")
    arguments = [str(bundle.path), str(SONG), str(frames), *map(str, CHUNKS)]
    try:
        told = environments.answer(NAME, arguments, out, Path(__file__).parent.parent)
    except RtsepError as error:
        hint = "; rtsep bench runtimes --install does it" if "not installed" in str(error) else ""
        raise RtsepError(f"{error}{hint}") from None
    report.versions.update(told["versions"])
    rows = [
        {"K": row["chunk"], "way": row["way"]}
        | tail(row["times_ms"])
        | {"parity dB": row["parity_db"], "SDR cost dB": row["sdr_cost_db"]}
        for row in told["rows"]
    ]
    note = (
        f"The network alone, {bundle.name}, milliseconds for each frame; {frames} frames for each K. Parity: masked "
        "magnitudes against PyTorch's in fp32, signal to difference. SDR cost: how much worse than these the masked "
        "mixture is against the true stems, mean of the stems, in the bins that the network sees."
    )
    report.add(Table("Steps", rows, note))
    for problem in told["problems"]:
        report.problem(problem)
    report.write(out)
    return 0
