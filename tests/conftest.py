"""Fixtures for servers, and the summary that says which backends the tests really met."""

from __future__ import annotations

import importlib.util
import os
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conformance.matrix import FOUND as REPLAYED
from conformance.matrix import matrix
from conformance.replay import load
from servers import EMBEDDED, KINDS, NotAvailableError, Server
from stores import Case, Place, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUIRED = pytest.StashKey[list[str]]()
BACKENDS = (*EMBEDDED, *KINDS)
FOUND: dict[str, Server] = {}
ABSENT: dict[str, str] = {}
USES: dict[str, set[str]] = {}
OUTCOMES: defaultdict[str, Counter[str]] = defaultdict(Counter)
UNTESTED: defaultdict[str, dict[str, None]] = defaultdict(dict)
NAMED = re.compile(rf"(?<![a-z])({'|'.join(sorted(BACKENDS, key=len, reverse=True))})(?![a-z])")

if importlib.util.find_spec("hypothesis"):
    from hypothesis import settings

    settings.register_profile("short", deadline=None)
    settings.register_profile("full", deadline=None, max_examples=1000)
    settings.load_profile("full" if os.environ.get("KV_TEST_FULL") else "short")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the tables of the documentation."""
    parser.addoption("--publish", action="store_true", help="write the documentation's tables that come from the tests")


def pytest_configure(config: pytest.Config) -> None:
    """Read KV_REQUIRE_SERVERS, and make sure under tox that it is the wheel that is tested."""
    config.stash[REQUIRED] = [
        name.strip() for name in os.environ.get("KV_REQUIRE_SERVERS", "").split(",") if name.strip()
    ]
    if unknown := set(config.stash[REQUIRED]) - set(BACKENDS):
        message = f"KV_REQUIRE_SERVERS names {', '.join(sorted(unknown))}; known are {', '.join(BACKENDS)}"
        raise pytest.UsageError(message)
    if os.environ.get("KV_TEST_WHEEL"):
        spec = importlib.util.find_spec("kv_core")
        if spec is None or spec.origin is None or Path(spec.origin).is_relative_to(config.rootpath / "kv_core"):
            message = f"the wheel should be tested, but kv_core is {spec.origin if spec else 'not there'}"
            raise pytest.UsageError(message)


def server_for_session(name: str) -> Iterator[Server]:
    """Find or start one server and skip its tests where there is none."""
    if name not in FOUND and name not in ABSENT:
        try:
            FOUND[name] = KINDS[name].find()
        except NotAvailableError as error:
            ABSENT[name] = str(error)
    if name in ABSENT:
        pytest.skip(f"no {KINDS[name].label}: {ABSENT[name]}")
    yield FOUND[name]
    FOUND[name].stop()


def fixtures_for(name: str) -> dict[str, object]:
    """Return the fixtures of one kind of server.

    - `<name>_server`: one that all tests share; use a collection, database or key prefix of your own.
    - `start_<name>`: a function that starts private processes, which end with the test.
    - `own_<name>`: one such process, which the test may freeze (`freeze`, `thaw`) and `kill`.
    """

    @pytest.fixture(scope="session", name=f"{name}_server")
    def shared() -> Iterator[Server]:
        yield from server_for_session(name)

    @pytest.fixture(name=f"start_{name}")
    def start() -> Iterator[Callable[[], Server]]:
        servers: list[Server] = []

        def start_one() -> Server:
            try:
                servers.append(KINDS[name].start())
            except NotAvailableError as error:
                pytest.skip(f"no {KINDS[name].label} of our own: {error}")
            return servers[-1]

        yield start_one
        for server in servers:
            server.stop()

    @pytest.fixture(name=f"own_{name}")
    def own(request: pytest.FixtureRequest) -> Server:
        started: Server = request.getfixturevalue(f"start_{name}")()
        return started

    return {f"{name}_server": shared, f"start_{name}": start, f"own_{name}": own}


for kind_name in KINDS:
    globals().update(fixtures_for(kind_name))


@pytest.fixture
def untested() -> Callable[[str, str], None]:
    """A function for what a backend's server here cannot show: skips the test, and the summary says so.

    It takes the backend's name and the reason: `untested("valkey", "TLS: the wheel's server has none")`.
    """

    def skip(backend: str, reason: str) -> None:
        assert backend in BACKENDS
        UNTESTED[backend][reason] = None
        pytest.skip(f"untested on {backend}: {reason}")

    return skip


def uses(item: pytest.Item) -> set[str]:
    """Return the backends that a test meets: by its fixtures and parameters, or else by its own or its file's name."""
    callspec = getattr(item, "callspec", None)
    parameters = [] if callspec is None else callspec.id.split("-")
    told = {*NAMED.findall(" ".join(getattr(item, "fixturenames", []))), *set(parameters).intersection(BACKENDS)}
    return told or set(NAMED.findall(f"{item.path.stem} {item.name.partition('[')[0]}".lower()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Remember which test belongs to which backend."""
    USES.update((item.nodeid, uses(item)) for item in items)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what ran on each backend."""
    if report.when == "call" or report.outcome != "passed":
        for backend in USES.get(report.nodeid, ()):
            OUTCOMES[backend][report.outcome] += 1


def not_run(config: pytest.Config) -> list[str]:
    """Return the required backends that no test met."""
    return [name for name in config.stash[REQUIRED] if not OUTCOMES[name]["passed"] + OUTCOMES[name]["failed"]]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail when a required backend was not tested."""
    if not_run(session.config) and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the matrix of stores that were replayed, and which server each backend was and how many tests met it."""
    if REPLAYED:
        terminalreporter.section("conformance")
        terminalreporter.write(matrix(REPLAYED, load()))
    terminalreporter.section("backends")
    for name in BACKENDS:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(OUTCOMES[name].items())) or "no test ran"
        if name in ABSENT:
            line = f"NOT RUN: {ABSENT[name]} ({counts})"
        elif name in FOUND:
            line = f"{FOUND[name].description} ({counts})"
        else:
            line = f"{'embedded' if name in EMBEDDED else 'not asked for'} ({counts})"
        terminalreporter.line(f"{name:<14} {line}")
        for reason in UNTESTED[name]:
            terminalreporter.line(f"{'':<14} untested: {reason}")
    for name in not_run(config):
        terminalreporter.line(f"{name} is required by KV_REQUIRE_SERVERS, but no test ran on it: failed", red=True)


@pytest.fixture(scope="session", autouse=True)
def no_server_survives() -> Iterator[None]:
    """Fail the run when a server that it started outlives it."""
    yield
    left = [server for server in FOUND.values() if server.process is not None and server.process.poll() is None]
    for server in left:
        server.stop()
    assert not left, f"still running: {left}"


@pytest.fixture
def place(request: pytest.FixtureRequest, case: Case, tmp_path: Path) -> Place:
    """Where the store of a test with `@each_store` keeps its entries."""
    return place_of(case, request, tmp_path)
