"""Check that the core imports without any extra and each module with its own extra alone.

Run it where kvstack is installed without extras, as `tox -e minimal` does: it adds one extra at a time, each in an
environment of its own, and imports what that extra is for.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

# What each extra is for; a module that does not exist yet is not asked for.
MODULES = {
    "disk": [f"kv_core.{side}.stores.{name}" for side in ("aio", "sync") for name in ("disk", "multi_disk")],
    "redis": ["kv_core.aio.stores.redis", "kv_core.sync.stores.redis"],
    "valkey": ["kv_core.aio.stores.valkey", "kv_core.sync.stores.valkey"],
    "memcached": ["kv_core.aio.stores.memcached", "kv_core.sync.stores.memcached"],
    "mongodb": ["kv_core.aio.stores.mongodb", "kv_core.sync.stores.mongodb"],
    "elasticsearch": ["kv_core.aio.stores.elasticsearch", "kv_core.sync.stores.elasticsearch"],
    "encryption": ["kv_core.aio.wrappers.encryption.fernet", "kv_core.sync.wrappers.encryption.fernet"],
    "pydantic": ["kv_core.aio.adapters.pydantic", "kv_core.sync.adapters.pydantic"],
    "django": ["kv_django"],
    "starlette": ["kv_starlette"],
    "fastapi": ["kv_starlette"],
    "flask": ["kv_flask"],
    "cli": ["kv_core.cli"],
}


def exists(module: str) -> bool:
    """Tell whether a module is part of what is installed."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
    except ImportError:  # its package is there, and says what it needs
        return True


def core_problems() -> list[str]:
    """Import every module of the core, and the integrations, without any extra; only a helpful sentence may stop it."""
    import kv_core

    problems: list[str] = []
    core = [found.name for found in pkgutil.walk_packages(kv_core.__path__, "kv_core.", onerror=lambda _: None)]
    for name in [*core, "kv_django", "kv_starlette", "kv_flask"]:
        if name.endswith(".testing"):  # for projects that test with pytest, and have it
            continue
        done = subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False)
        if done.returncode and "pip install" not in done.stderr:
            problems.append(f"{name} without extras: {done.stderr.strip().splitlines()[-1]}")
    return problems


def extra_problems(extra: str, modules: list[str], wheel: str) -> list[str]:
    """Install kvstack with one extra into an environment of its own and import that extra's modules."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        uv = [sys.executable, "-m", "uv", "--quiet"]
        environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        for command in (
            [*uv, "venv", "--python", sys.executable, folder],
            [*uv, "pip", "install", "--python", str(python), f"kvstack[{extra}] @ {wheel}"],
        ):
            subprocess.run(command, check=True, env=environment)
        code = "import " + ", ".join(modules)
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, cwd=folder)
    return [f"[{extra}] {code}: {done.stderr.strip().splitlines()[-1]}"] if done.returncode else []


def main() -> int:
    """Check all, print each problem, and return the exit status."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    installed = set(importlib.metadata.metadata("kvstack").get_all("Provides-Extra") or [])
    problems = [f"[{extra}] is not an extra of kvstack" for extra in MODULES.keys() - installed] + core_problems()
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "uv", "--quiet", "build", "--wheel", "--out-dir", folder]
        subprocess.run(build, check=True)
        wheel = next(Path(folder).glob("kvstack-*.whl")).as_uri()
        for extra, modules in MODULES.items():
            here = [module for module in modules if exists(module)]
            print(f"[{extra}] {', '.join(here) or 'nothing to import yet'}", flush=True)
            problems += extra_problems(extra, here, wheel) if here else []
    print(*problems, sep="\n" if problems else "", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
