"""Every store with a server, when the server is gone, frozen or restarted, and when the network misbehaves."""

import gc
import os
import socket
import subprocess
import time
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from network import EACH, NETWORK
from proxy import Misbehaving
from servers import KINDS

from kv_core.aio._runtime import gather
from kv_core.aio.testing._common import call
from kv_core.capabilities import capabilities
from kv_core.errors import BaseKeyValueError, StoreConnectionError, StoreTimeoutError

FULL = bool(os.environ.get("KV_TEST_FULL"))


class Stand:
    """A server, and the stores that a test makes for it."""

    def __init__(self, name, server):
        self.name, self.server = name, server

    def store(self, port=None, **options):
        """Return a store for the server, or for what listens on another port in its place."""
        url = urlsplit(self.server.url)
        if port is not None:
            url = url._replace(netloc=f"{url.hostname}:{port}")
        return NETWORK[self.name].make("kv_core.aio", url.geturl(), **options)

    def restart(self):
        """Start the server again, where it was."""
        self.server.process = subprocess.Popen(
            self.server.process.args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        KINDS[self.name].wait(self.server)


@pytest.fixture(params=EACH)
def own(request):
    yield Stand(request.param, request.getfixturevalue(f"own_{request.param}"))
    gc.collect()


@pytest.fixture(params=EACH)
def shared(request):
    yield Stand(request.param, request.getfixturevalue(f"{request.param}_server"))
    gc.collect()


@pytest.fixture
def proxy(shared):
    proxy = Misbehaving(shared.server.host, shared.server.port)
    yield proxy
    proxy.close()


OPERATIONS = ("get", "put", "get_many", "put_many", "delete", "increment", "put_if_absent", "keys")


async def refused(store, operation, kind):
    """Make an operation that fails, and return its error and how long it took, in seconds."""
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        await call(store, operation)
    return caught.value, time.monotonic() - start


@pytest.mark.faults(141)
async def test_a_server_that_is_not_there(own):
    """Without a server every operation says so in time, and that nothing was done."""
    own.server.kill()
    with socket.socket() as keeper:  # or another test's server takes the port
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind((own.server.host, own.server.port))
        await nobody_there(own)


async def nobody_there(own):
    async with own.store(timeout=1) as store:
        for operation in ("get", "put", "put_many"):
            error, seconds = await refused(store, operation, StoreConnectionError)

            assert (error.retryable, error.outcome) == (True, "not_applied"), operation
            assert seconds < 3, operation


@pytest.mark.faults(143)
async def test_a_frozen_server(own):
    """Every operation ends at its deadline, on an open connection and on a new one; later answers are right."""
    keys = [f"key {number}" for number in range(10)]
    async with own.store() as store, own.store() as fresh:
        for key in keys:
            await store.put(key, {"of": key})
        store._timeout = fresh._timeout = 0.1
        own.server.freeze()
        try:
            for one in (store, fresh):
                for operation in sorted(capabilities(one).intersection(OPERATIONS)):
                    error, seconds = await refused(one, operation, StoreTimeoutError)
                    assert error.retryable
                    assert 0.09 < seconds < 3, operation
        finally:
            own.server.thaw()
        store._timeout = fresh._timeout = 5.0
        await store.put_many(keys, [{"now": key} for key in keys])
        for _ in range(3):
            assert await gather(*[store.get(key) for key in keys]) == [{"now": key} for key in keys]
            assert await fresh.get_many(keys) == [{"now": key} for key in keys]


@pytest.mark.faults(127, 142)
async def test_a_server_that_is_killed_and_comes_back(own):
    """At most one named error for each connection that was open, then as before; no wrong values."""
    keys = [f"key {number}" for number in range(5)]
    async with own.store(timeout=2) as store:
        await gather(*[store.put(key, {"of": key}) for key in keys])
        own.server.kill()
        for _ in range(2):
            error, _ = await refused(store, "put", StoreConnectionError)
            assert error.retryable
        own.restart()
        failed = 0
        for key in keys * 4:
            try:
                assert await store.get(key) in (None, {"of": key})
            except StoreConnectionError:
                failed += 1

        assert failed <= 5
        await store.put("key", {"n": 1})
        assert await store.get("key") == {"n": 1}
        assert await store.delete("key") is True
        assert await store.increment("count", initial=0, ttl=60) == 1


@pytest.mark.faults(127, 145)
@pytest.mark.parametrize("mode", Misbehaving.MODES)
async def test_a_network_that_misbehaves(shared, proxy, mode):
    """Each call ends in time with a right answer or a named error; a key holds what was acknowledged or may have been.

    Only a request that never left says that it was not applied.
    """
    rounds = 10 if FULL else 1
    keys = [f"key {number}" for number in range(3)]
    possible = {key: [{"of": key, "turn": 0}] for key in keys}
    async with shared.store(proxy.port, default_collection=mode) as store:
        await store.put_many(keys, [{"of": key, "turn": 0} for key in keys])
        store._timeout = 0.15
        for turn in range(1, rounds + 1):
            proxy.mode = mode
            for key in keys[:2]:
                value = {"of": key, "turn": turn}
                start = time.monotonic()
                try:
                    await store.put(key, value)
                    possible[key] = [value]
                except BaseKeyValueError as error:
                    if error.outcome == "unknown":
                        possible[key].append(value)
                assert time.monotonic() - start < 3
                with suppress(BaseKeyValueError):
                    assert await store.get(key) in possible[key]
                assert time.monotonic() - start < 5
            proxy.mode = "fine"
            store._timeout = 5.0
            for key in keys:
                await settled(store, key)
                assert await store.get(key) in possible[key]
                [found] = await store.get_many([key])
                assert found in possible[key]
                possible[key] = [found]
            store._timeout = 0.15
        store._timeout = 5.0
        await store.delete_many(keys)


async def settled(store, key):
    """Read until the connections that went bad are gone; each costs at most one named error."""
    for _ in range(10):
        try:
            return await store.get(key)
        except BaseKeyValueError as error:
            assert error.retryable or "Protocol" in type(error).__name__, repr(error)  # noqa: PT017 - of those allowed
    raise AssertionError(f"{key} cannot be read any more")


@pytest.mark.faults(141, 145)
async def test_connections_that_end_at_once(shared, proxy):
    """When nobody is behind an open port, nothing was applied, and the store works as soon as somebody is."""
    proxy.mode = "refused"
    async with shared.store(proxy.port, timeout=1, default_collection="refused") as store:
        error, seconds = await refused(store, "put", (StoreConnectionError, StoreTimeoutError))
        assert error.retryable
        assert seconds < 3
        proxy.mode = "fine"
        store._timeout = 5.0
        assert await settled(store, "key") is None
        await store.put("key", {"n": 1})
        assert await store.get("key") == {"n": 1}
        assert await store.delete("key") is True
