# Written by tools/mirror.py from tests/aio/conftest.py: change that file instead.
"""What the tests of wrappers and recipes share: the stores they stand on, and two wrappers of a user's."""

from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from redis import Redis as Raw

from kv_core.errors import PartialFailureError, StoreConnectionError
from kv_core.sync._runtime import sleep
from kv_core.sync.protocols import KeyValue
from kv_core.sync.stores.disk import DiskStore
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.stores.redis import RedisStore
from kv_core.sync.wrappers._calls import Call, CallWrapper
from kv_core.sync.wrappers.base import BaseWrapper

DATABASE = 8


@pytest.fixture(scope="session")
def redis_database(redis_server):
    """A client of the database of Redis that these tests empty, and its URL."""
    url = urlsplit(redis_server.url)._replace(path=f"/{DATABASE}").geturl()
    with Raw.from_url(url) as raw:
        yield raw, url


@pytest.fixture
def redis_url(redis_database):
    """The URL of an empty database of Redis."""
    raw, url = redis_database
    raw.flushdb()
    return url


@pytest.fixture(params=["memory", "redis"])
def inner(request):
    """Return a function that opens one backend, again and again."""
    return opening(request, request.param)


@pytest.fixture(params=["memory", "disk", "redis"])
def backend(request):
    """As `inner`, on disk, too, for single cases; what was opened is closed."""
    opened = []
    open_one = opening(request, request.param)

    def open_another():
        opened.append(open_one())
        return opened[-1]

    yield open_another
    for store in opened:
        store.close()


def opening(request, kind):
    """Return a function that opens one backend of a kind."""
    if kind == "redis":
        url = request.getfixturevalue("redis_url")
        return lambda: RedisStore(url=url)
    if kind == "disk":
        directory = request.getfixturevalue("tmp_path") / "kv"
        return lambda: DiskStore(directory=directory)
    name = uuid4().hex
    return lambda: MemoryStore(name=name)


class Flaky(CallWrapper):
    """Fail with the given errors in turn, then work; an error of outcome "unknown" comes after the work is done.

    None among the errors lets a call work.
    """

    def __init__(self, key_value: KeyValue, *errors: Exception | None) -> None:
        self.key_value = key_value
        self.errors = list(errors)
        self.calls: list[str] = []

    def _around(self, call: Call):
        self.calls.append(call.name)
        if self.errors and (error := self.errors.pop(0)) is not None:
            if getattr(error, "outcome", "") == "unknown":
                call(self.key_value)
            raise error
        return call(self.key_value)


class Halved(CallWrapper):
    """A store on two servers, of which the one that has the keys in `away` cannot be reached."""

    def __init__(self, key_value: KeyValue) -> None:
        self.key_value = key_value
        self.away: set[str] = set()

    def _around(self, call: Call):
        sleep(0)
        errors = {key: StoreConnectionError("away") for key in call.keys if key in self.away}
        if not errors:
            return call(self.key_value)
        if len(errors) == len(call.keys):
            raise next(iter(errors.values()))
        there = [number for number, key in enumerate(call.keys) if key not in errors]
        options = dict(call.options)
        if isinstance(options.get("ttl"), list):
            options["ttl"] = [options["ttl"][number] for number in there]
        arguments = tuple([[argument[number] for number in there] for argument in call.arguments])
        Call(call.name, arguments, options)(self.key_value)
        raise PartialFailureError.of("some are away", errors, call.keys, collection=call.collection)


class Marking(BaseWrapper):
    """A user's wrapper, as the documentation shows one: it overrides put alone."""

    def __init__(self, key_value: KeyValue) -> None:
        self.key_value = key_value

    def put(self, key, value, *, collection=None, ttl=None):
        self.key_value.put(key=key, value={"marked": value}, collection=collection, ttl=ttl)


WRITES = {
    "put": lambda store: store.put("key", {"n": 1}),
    "put_many": lambda store: store.put_many(["key"], [{"n": 1}]),
    "put_if_absent": lambda store: store.put_if_absent("key", {"n": 1}),
    "put_if_present": lambda store: store.put_if_present("there", {"n": 1}),
    "put_if_unchanged": lambda store: store.put_if_unchanged("there", {"n": 1}, store.revision),
    "increment": lambda store: store.increment("counter"),
}


@pytest.fixture
def flaky():
    """The class of a store that fails when it is told to."""
    return Flaky


@pytest.fixture
def halved():
    """The class of a store whose bulk operations may fail in part."""
    return Halved


@pytest.fixture
def marking():
    """The class of a wrapper that overrides put alone."""
    return Marking


@pytest.fixture
def write():
    """Return a function that makes an operation that carries a value, by its name."""
    return lambda name, store: WRITES[name](store)
