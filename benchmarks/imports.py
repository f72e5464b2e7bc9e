"""What it costs to import the smallest store, and that nothing optional comes with it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from benchmarks._harness import Bench

_OPTIONAL = ("redis", "valkey", "pymemcache", "pymongo", "elasticsearch", "diskcache", "cryptography", "pydantic")
_SCRIPT = """
import asyncio, msgspec, sys, time
start = time.perf_counter()
import {module}
print(time.perf_counter() - start, *[name for name in {optional} if name in sys.modules])
"""


def main(bench: Bench) -> None:
    """Import each module in processes of their own, and take the quickest: the others were held up."""
    bench.title("Imports, beyond asyncio and msgspec")
    for module in ("kv_core.aio.stores.memory", "kv_core.sync.stores.memory"):
        with tempfile.TemporaryDirectory(prefix="kv-bench-") as folder:
            found = [_import(module, folder) for _ in range(6 if bench.quick else 22)][1:]  # the first one compiles
        bench.absolute(module, min(seconds for seconds, _ in found) * 1e3, "ms", at_most=15)
        if drivers := found[0][1]:
            raise SystemExit(f"{module} imports {', '.join(drivers)}, which not everybody has")


def _import(module: str, bytecode: str) -> tuple[float, list[str]]:
    script = _SCRIPT.format(module=module, optional=_OPTIONAL)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
    command = [sys.executable, "-c", script]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds, *drivers = answer.stdout.split()
    return float(seconds), drivers
