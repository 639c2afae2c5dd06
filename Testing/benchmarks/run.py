"""`make bench`: measures every speed claim, prints the table and writes bench-output/bench.json. Exit status
1 when a claim is not kept.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
OUTPUT = FOLDER.parents[1] / "bench-output"


def main() -> int:
    sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]
    wanted = sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("bench_*.py"))
    claims = [claim for name in wanted for claim in importlib.import_module(name).claims()]
    for claim in claims:
        verdict = "kept  " if claim.kept else "BROKEN"
        sys.stdout.write(
            f"{verdict} {claim.result:9.3f} {claim.unit:<2} (target {claim.target:g})  {claim.name}:"
            f" {claim.detail}\n"
        )
    OUTPUT.mkdir(exist_ok=True)
    rows = [{**asdict(claim), "kept": claim.kept} for claim in claims]
    (OUTPUT / "bench.json").write_text(
        json.dumps(
            {"machine": platform.platform(), "python": platform.python_version(), "claims": rows}, indent=2
        )
    )
    return 0 if all(claim.kept for claim in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
