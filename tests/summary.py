"""The end of a run: which backends its tests met, and what else they have to say.

With pytest-xdist the tests run in several processes. Each tells the first one what it met, which prints all of it.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from conformance import matrix
from conformance.replay import load
from servers import EMBEDDED, KINDS

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

BACKENDS = (*EMBEDDED, *KINDS)
NAMED = re.compile(rf"(?<![a-z])({'|'.join(sorted(BACKENDS, key=len, reverse=True))})(?![a-z])")


def uses(item: pytest.Item) -> set[str]:
    """Return the backends that a test meets: by its fixtures and parameters, or else by its own or its file's name."""
    callspec = getattr(item, "callspec", None)
    parameters = [] if callspec is None else callspec.id.split("-")
    told = {*NAMED.findall(" ".join(getattr(item, "fixturenames", []))), *set(parameters).intersection(BACKENDS)}
    return told or set(NAMED.findall(f"{item.path.stem} {item.name.partition('[')[0]}".lower()))


@dataclass
class Met:
    """What the tests of one process met.

    Attributes:
        found: The servers that answered, by kind, in the words of the summary.
        absent: The kinds that are not to be had here, and what was tried.
        outcomes: How many tests of each backend passed, failed, ...
        untested: What a backend's server here cannot show.
        sections: What else there is to say, by title: lines.
        replayed: The columns of the conformance matrix.
    """

    found: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    untested: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    sections: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    replayed: matrix.Columns = field(default_factory=lambda: matrix.FOUND)

    def add(self, other: Met) -> None:
        """Take what another process met, too."""
        self.found |= other.found
        self.absent |= other.absent
        for backend, counts in other.outcomes.items():
            self.outcomes[backend].update(counts)
        for mine, theirs in ((self.untested, other.untested), (self.sections, other.sections)):
            for name, lines in theirs.items():
                mine[name] += [line for line in lines if line not in mine[name]]
        matrix.merge(self.replayed, other.replayed)


class Summary:
    """The plugin that counts, tells and prints."""

    def __init__(self) -> None:
        self.met = Met()
        self.required = [name.strip() for name in os.environ.get("KV_REQUIRE_SERVERS", "").split(",") if name.strip()]
        if self.required == ["all"]:
            self.required = list(BACKENDS)
        if unknown := set(self.required) - set(BACKENDS):
            message = f"KV_REQUIRE_SERVERS names {', '.join(sorted(unknown))}; known are all, {', '.join(BACKENDS)}"
            raise pytest.UsageError(message)
        self._uses: dict[str, set[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Remember which test belongs to which backend; each process has to find the same tests."""
        if unstable := [item.nodeid for item in items if " at 0x" in item.nodeid]:
            message = f"these parameters need ids without an address in memory: {', '.join(unstable)}"
            raise pytest.UsageError(message)
        self._uses.update((item.nodeid, uses(item)) for item in items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what ran on each backend."""
        if report.when == "call" or report.outcome != "passed":
            for backend in self._uses.get(report.nodeid, ()):
                self.met.outcomes[backend][report.outcome] += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController) -> None:
        """Take over what a process met that ends."""
        if told := getattr(node, "workeroutput", {}).get("met"):
            self.met.add(Met(**json.loads(told)))

    def not_run(self) -> list[str]:
        """Return the required backends that no test met."""
        counts = self.met.outcomes
        return [name for name in self.required if not counts[name]["passed"] + counts[name]["failed"]]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell the first process, if there is one, or fail when a required backend was not tested."""
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["met"] = json.dumps(vars(self.met))
        elif self.not_run() and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what there is to say, and a line for each backend: which server it was and how many tests met it."""
        write = terminalreporter.line
        if self.met.replayed:
            terminalreporter.section("conformance")
            terminalreporter.write(matrix.matrix(self.met.replayed, load()))
        for title, lines in self.met.sections.items():
            terminalreporter.section(title)
            for line in sorted(lines):
                write(line)
        terminalreporter.section("backends")
        for name in BACKENDS:
            write(f"{name:<16} {self._server_of(name)} ({self._counts_of(name)})")
            for reason in self.met.untested[name]:
                write(f"{'':<16} untested: {reason}")
        for name in self.not_run():
            write(f"{name} is required by KV_REQUIRE_SERVERS, but no test ran on it: failed", red=True)

    def _server_of(self, name: str) -> str:
        if name in self.met.absent:
            return f"NOT RUN: {self.met.absent[name]}"
        return self.met.found.get(name) or ("embedded" if name in EMBEDDED else "not asked for")

    def _counts_of(self, name: str) -> str:
        counts = sorted(self.met.outcomes[name].items())
        return ", ".join(f"{count} {outcome}" for outcome, count in counts) or "no test ran"
