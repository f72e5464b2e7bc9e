"""Django's own tests of cache backends and session engines pass on ours, unchanged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Server

    Started = tuple[str, dict[str, subprocess.Popen[str]]]

SCRIPT = Path(__file__).with_name("suite.py")
MODES = {"sync": "methods for threads", "loop": "a… on one loop", "loops": "a… with a loop for each call"}
CULLING = {"test_cull", "test_zero_cull", "test_cull_delete_when_store_empty"}
"""What Django itself leaves out for stores that do not count a fraction of their entries out, as its servers."""


@pytest.fixture(scope="module", params=["memory", "disk", "redis"])
def started(
    request: pytest.FixtureRequest, django_tests: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Started]:
    """A process for each mode, started together because they mostly sleep; each has a database of its own."""
    locations = dict.fromkeys(MODES, "memory://")
    if request.param == "disk":
        locations = {mode: f"disk://{tmp_path_factory.mktemp(mode)}/store" for mode in MODES}
    elif request.param == "redis":
        server: Server = request.getfixturevalue("redis_server")
        own = urlsplit(server.url)
        locations = {mode: own._replace(path=f"/{number}").geturl() for number, mode in enumerate(MODES, 7)}
    command = [sys.executable, "-W", "error::ResourceWarning", SCRIPT, django_tests]
    processes = {
        mode: subprocess.Popen(
            [*command, location, mode], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=SCRIPT.parent
        )
        for mode, location in locations.items()
    }
    yield request.param, processes
    for process in processes.values():
        process.kill()
        process.communicate()


@pytest.mark.faults(164)
@pytest.mark.parametrize("mode", MODES)
def test_djangos_own_tests_pass(started: Started, mode: str, tell: Callable[[str, Any], None]) -> None:
    """Every one of them passes; but in memory those on culling are left out, as Django leaves them out for servers."""
    backend, processes = started
    out, err = processes[mode].communicate(timeout=100)
    assert processes[mode].returncode == 0, err[-4000:]
    report = json.loads(out)
    tell(f"{backend}, {MODES[mode]}", report)

    assert [counts["failed"] for counts in report.values()] == [[]] * len(report), err[-4000:]
    assert report["BaseCacheTests"]["run"] >= 54
    assert report["BaseCacheTests"]["skipped"].keys() == (set() if backend == "memory" else CULLING)
    if mode == "sync":
        assert report["SessionTestsMixin"]["passed"] == report["SessionTestsMixin"]["run"] >= 65
