"""Every store of the project, for tests that hold for all of them: a new store is one entry of `STORES`.

A test takes `@each_store`, or `@each_form` for clusters and the like, which gives it `case` and `side`, and opens the
store in its `place`:

    @each_store
    def test_something(case, side, place):
        with opened(case, side, place) as store:
            store.call("put", "key", {"n": 1})
"""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from kv_core.capabilities import capabilities
from kv_core.simple_table import SimpleTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SIDES = ("aio", "sync")


@dataclass(frozen=True)
class Place:
    """Where the store of one test keeps its entries.

    Attributes:
        folder: An empty folder.
        url: The server, where the store has one; other tests use it too.
        name: What no other test is called, for a database or an index of the test's own.
    """

    folder: Path
    url: str = ""
    name: str = field(default_factory=lambda: f"kv{uuid4().hex[:12]}")


@dataclass(frozen=True)
class Case:
    """How to make one store, on either side.

    Attributes:
        name: What it is called; a name in `servers.KINDS` or `servers.EMBEDDED` counts in the summary of backends.
        path: Module and class below `kv_core.<side>.stores`.
        options: What its constructor takes in a place; two stores of one place have the same entries.
        server: The fixture that gives its server, if it has one.
        unsure: The operations that may say True where there was nothing, since the store cannot tell.
    """

    name: str
    path: str
    options: Callable[[Place], dict[str, Any]]
    server: str | None = None
    unsure: frozenset[str] = frozenset()

    def load(self, side: str) -> type:
        """Return the class of one side."""
        module, _, name = self.path.rpartition(".")
        found: type = getattr(import_module(f"kv_core.{side}.stores.{module}"), name)
        return found

    def make(self, side: str, place: Place) -> Any:
        """Return a store, with the patience that a stand-in on a busy machine needs."""
        return self.load(side)(**self.options(place), timeout=30.0)


TABLES: defaultdict[str, SimpleTable] = defaultdict(SimpleTable)

STORES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("memory", "memory.MemoryStore", lambda place: {"name": place.name}),
        Case("disk", "disk.DiskStore", lambda place: {"directory": place.folder / "disk"}),
        Case("multi_disk", "multi_disk.MultiDiskStore", lambda place: {"directory": place.folder / "multi_disk"}),
        Case("simple", "simple.SimpleStore", lambda place: {"_shared": TABLES[place.name]}),
        Case("redis", "redis.RedisStore", lambda place: {"url": f"{place.url}/10"}, server="redis_server"),
        Case("valkey", "valkey.ValkeyStore", lambda place: {"url": f"{place.url}/10"}, server="valkey_server"),
        Case(
            "memcached",
            "memcached.MemcachedStore",
            lambda place: {"url": f"{place.url}/?key_prefix={place.name}:"},
            server="memcached_server",
            unsure=frozenset({"destroy_collection"}),  # what was put may have been deleted since
        ),
        Case(
            "mongodb",
            "mongodb.MongoDBStore",
            lambda place: {"url": place.url, "coll_name": place.name},
            server="mongodb_server",
        ),
        Case(
            "elasticsearch",
            "elasticsearch.ElasticsearchStore",
            lambda place: {"url": place.url, "index": place.name},
            server="elasticsearch_server",
        ),
    )
}
"""The stores by name."""

FORMS: dict[str, Case] = {
    case.name: case
    for case in (
        *(
            Case(f"{name}_{form}", STORES[name].path, options, server=f"{name}_{form}_server")
            for name in ("redis", "valkey")
            for form, options in (
                ("cluster", lambda place: {"url": place.url}),
                ("sentinel", lambda place: {"url": f"{place.url}/10"}),
            )
        ),
        replace(STORES["memcached"], name="memcached_nodes", server="memcached_nodes_server"),
    )
}
"""The same stores on several servers."""


def _each(cases: dict[str, Case]) -> pytest.MarkDecorator:
    found = [pytest.param(case, side, id=f"{name}-{side}") for name, case in cases.items() for side in SIDES]
    return pytest.mark.parametrize(("case", "side"), found)


each_store = _each(STORES)
each_form = _each(FORMS)


def place_of(case: Case, request: pytest.FixtureRequest, folder: Path) -> Place:
    """Return a place for one test; it is skipped if there is no server."""
    return Place(folder, request.getfixturevalue(case.server).url if case.server else "")


class Handle:
    """A store of either side, called alike from code that does not wait."""

    def __init__(self, store: Any, run: Callable[[Any], Any], unsure: frozenset[str] = frozenset()) -> None:
        self.store = store
        self.can = capabilities(store)
        self.unsure = unsure
        self._run = run

    def call(self, operation: str, *arguments: Any, **options: Any) -> Any:
        """Make an operation; what it yields one by one is returned as a list."""
        return self._wait(getattr(self.store, operation)(*arguments, **options))

    def _wait(self, answer: Any) -> Any:
        if inspect.iscoroutine(answer):
            return self._run(answer)
        if hasattr(answer, "__aiter__"):
            return self._run(_listed(answer))
        return list(answer) if inspect.isgenerator(answer) else answer


async def _listed(answers: Any) -> list[Any]:
    return [answer async for answer in answers]


@contextmanager
def opened(case: Case, side: str, place: Place) -> Iterator[Handle]:
    """Open a store that is empty, and close it at the end."""
    with asyncio.Runner() as runner:
        handle = Handle(case.make(side, place), runner.run, case.unsure)
        try:
            if "destroy" in handle.can:
                handle.call("destroy")
            yield handle
        finally:
            handle.call("close")
