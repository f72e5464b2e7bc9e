"""Fixtures for servers, and the summary that says which backends the tests really met."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults import numbers
from servers import KINDS, NotAvailableError, Server
from stores import Case, Place, place_of
from summary import BACKENDS, Met, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUMMARY = pytest.StashKey[Summary]()
EVERYTHING = pytest.StashKey[list[pytest.Item]]()
FOUND: dict[str, Server] = {}
FULL = bool(os.environ.get("KV_TEST_FULL"))

if FULL:
    os.environ.setdefault("PYTEST_TIMEOUT", "1800")  # for a test that says nothing of its own

if importlib.util.find_spec("hypothesis"):
    from hypothesis import settings

    settings.register_profile("short", deadline=None)
    settings.register_profile("full", deadline=None, max_examples=1000)
    settings.load_profile("full" if FULL else "short")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of our own."""
    parser.addoption("--publish", action="store_true", help="write the documentation's tables that come from the tests")
    parser.addoption("--faults", default="", help="run the tests of these adversarial cases: --faults=125,126")


def pytest_configure(config: pytest.Config) -> None:
    """Add the summary, and make sure under tox that it is the wheel that is tested."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell, and so in what tests start
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[SUMMARY] = Summary()
    config.pluginmanager.register(config.stash[SUMMARY])
    if os.environ.get("KV_TEST_WHEEL"):
        spec = importlib.util.find_spec("kv_core")
        if spec is None or spec.origin is None or Path(spec.origin).is_relative_to(config.rootpath / "kv_core"):
            message = f"the wheel should be tested, but kv_core is {spec.origin if spec else 'not there'}"
            raise pytest.UsageError(message)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, as many tests wait; one alone with servers that all of them would use."""
    given = any(f"KV_TEST_{name.upper()}_URL" in os.environ for name in KINDS)
    return 0 if given else min((os.cpu_count() or 1) + 1, 9)


@pytest.fixture(scope="session")
def met(pytestconfig: pytest.Config) -> Met:
    """What the summary tells."""
    return pytestconfig.stash[SUMMARY].met


def server_for_session(name: str, met: Met) -> Iterator[Server]:
    """Find or start one server and skip its tests where there is none."""
    try:
        server = FOUND[name] = KINDS[name].find()
    except NotAvailableError as error:
        met.absent[name] = str(error)
        pytest.skip(f"no {KINDS[name].label}: {error}")
    met.found[name] = server.description
    yield server
    server.stop()


def fixtures_for(name: str) -> dict[str, object]:
    """Return the fixtures of one kind of server.

    - `<name>_server`: one that all tests share; use a collection, database or key prefix of your own.
    - `start_<name>`: a function that starts private processes, which end with the test.
    - `own_<name>`: one such process, which the test may freeze (`freeze`, `thaw`) and `kill`.
    """

    @pytest.fixture(scope="session", name=f"{name}_server")
    def shared(met: Met) -> Iterator[Server]:
        yield from server_for_session(name, met)

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
def untested(met: Met) -> Callable[[str, str], None]:
    """A function for what a backend's server here cannot show: skips the test, and the summary says so.

    It takes the backend's name and the reason: `untested("valkey", "TLS: the wheel's server has none")`.
    """

    def skip(backend: str, reason: str) -> None:
        assert backend in BACKENDS
        if reason not in met.untested[backend]:
            met.untested[backend].append(reason)
        pytest.skip(f"untested on {backend}: {reason}")

    return skip


@pytest.hookimpl(tryfirst=True)  # before -k and -m take tests away
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remember all tests there are, and keep those of the cases that are asked for."""
    if config.args == config.getini("testpaths"):
        config.stash[EVERYTHING] = items.copy()
    if wanted := {int(number) for number in config.getoption("faults").split(",") if number}:
        config.hook.pytest_deselected(items=[item for item in items if not numbers(item) & wanted])
        items[:] = [item for item in items if numbers(item) & wanted]


@pytest.fixture
def everything(pytestconfig: pytest.Config) -> list[pytest.Item]:
    """All tests there are."""
    if EVERYTHING not in pytestconfig.stash or os.environ.get("KV_TEST_WHEEL"):
        pytest.skip("needs a run that collects every test, with every framework")
    return pytestconfig.stash[EVERYTHING]


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
