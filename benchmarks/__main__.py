"""Run benchmarks by name, all of them if none is named."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
from pathlib import Path

from benchmarks._harness import Bench

SUBJECTS = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> int:
    """Return 1 if a bar was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"what to measure: {', '.join(SUBJECTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a look, not a measurement")
    parser.add_argument("--only", action="append", default=[], metavar="STORE", help="of `stores`, this one alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as data, too")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(SUBJECTS)):
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    print(f"Python {platform.python_version()} on {platform.machine()}; medians of alternating rounds in one process")
    with Bench(quick=options.quick, only=options.only) as bench:
        for name in options.names or SUBJECTS:
            importlib.import_module(f"benchmarks.{name}").main(bench)
        missed = bench.summary()
        if options.json:
            options.json.write_text(json.dumps(bench.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
