"""`docs/benchmarks.md`, made of what the benches have written, and of nothing else.

    python -m benches.document [FOLDER]

Takes JSON and pictures from FOLDER (out/bench; what is not there stays as it was) to `docs/benchmarks/` and writes the
document from what lies there.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from benches.report import REPOSITORY, section

DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"
KEPT = REPOSITORY / "docs" / "benchmarks"
ORDER = ("throughput", "latency", "latency-devices", "soak", "soak-busy", "soak-jack", "soak-jack-busy", "runtimes",
         "networks", "peers", "spleeter", "corrector")  # fmt: skip
HEAD = """# Benchmarks

Made by `make bench` from what `rtsep bench` has measured (`docs/benchmarks/*.json`); not to be edited. Each part tells
its command, machine, load and how long it took: judge by ratios within a part and by tails. A hop lasts 23.2 ms.
"""


def document(folder: Path) -> str:
    """The document that the JSON in `folder` makes."""
    found = [path for name in ORDER if (path := folder / f"{name}.json").exists()]
    sections = [section(json.loads(path.read_text(encoding="utf-8")), "benchmarks/") for path in found]
    return "\n".join([HEAD, *sections])


def main() -> int:
    """Take over what is new, and write."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/bench")
    KEPT.mkdir(exist_ok=True)
    for name in ORDER:
        if (path := folder / f"{name}.json").exists():
            shutil.copyfile(path, KEPT / path.name)
            for picture in json.loads(path.read_text(encoding="utf-8"))["pictures"]:
                shutil.copyfile(folder / picture, KEPT / picture)
    if not any(KEPT.glob("*.json")):
        print(
            f"nothing is measured yet in {folder}: rtsep bench throughput (and latency, soak, peers)", file=sys.stderr
        )
        return 1
    DOCUMENT.write_text(document(KEPT), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
