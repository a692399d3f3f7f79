"""Other runtimes for the network's step, compared with the backends of the engine.

The same frames of the bundled song pass through each of them in turn, one step at a time, on one thread: our compiled
code, PyTorch in fp32 and bf16, ONNX Runtime in fp32 and with int8 weights, OpenVINO in fp32 and bf16; the last two with
the state as input and output of the graph. Besides the times, the masked mixture is compared with that of PyTorch in
fp32, and with the true stems.
"""

from __future__ import annotations

from pathlib import Path

from benches import environments
from benches.report import REPOSITORY, SONG, Report, Table, tail
from rtsep.bundle import find_bundle

NAME = "runtimes"
PACKAGES = ("onnx", "onnxruntime", "onnxscript", "openvino")
CHUNKS = (1, 4, 32)


def run(install: bool, frames: int, model: str | None, out: Path) -> int:
    """Measure all that are installed, and write."""
    bundle = find_bundle(model)
    if install:
        environments.install(NAME, PACKAGES, out)
    report = Report(NAME, "Backends and runtimes for a step", "one")
    arguments = [str(bundle.path), str(SONG), str(frames), *map(str, CHUNKS)]
    told = environments.answer(NAME, arguments, out, "rtsep bench runtimes --install", REPOSITORY)
    report.versions.update(told["versions"])
    rows = [
        {"K": row["chunk"], "backend": row["way"]}
        | tail(row["times_ms"])
        | {"parity dB": row["parity_db"], "SDR cost dB": row["sdr_cost_db"]}
        for row in told["rows"]
    ]
    note = (
        f"Network only, {bundle.name}, milliseconds per frame; {frames} frames for each K. Parity: masked magnitudes "
        "compared with PyTorch fp32, signal to difference. SDR cost: how much lower the SDR of the masked mixture is "
        "than PyTorch's, mean of the stems, in the network's bins."
    )
    report.add(Table("Steps", rows, note))
    for problem in told["problems"]:
        report.problem(problem)
    report.write(out)
    return 0
