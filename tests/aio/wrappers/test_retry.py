"""Operations are repeated when that makes sense, and end within one budget of time."""

import socket
import threading
from time import monotonic

import pytest
from proxy import HangingUp

from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.stores.redis import RedisStore
from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.base import BaseWrapper
from kv_core.aio.wrappers.retry import RetryWrapper
from kv_core.aio.wrappers.timeout import TimeoutWrapper
from kv_core.errors import (
    ConfigurationError,
    DecryptionError,
    InvalidKeyError,
    SerializationError,
    StoreAuthenticationError,
    StoreConnectionError,
    StoreTimeoutError,
)


def down(outcome="not_applied"):
    return StoreConnectionError("down", outcome=outcome)


class TestRetryWrapper(StoreContract):
    """The contract, through a retry."""

    @pytest.fixture
    def make(self, inner):
        return lambda: RetryWrapper(inner())


async def test_it_tries_again(flaky):
    """A failure that changed nothing is forgotten once a later attempt works."""
    failing = flaky(MemoryStore(), down(), down())
    store = RetryWrapper(failing, initial_delay=0)

    await store.put("key", {})

    assert failing.calls == ["put", "put", "put"]
    assert await store.get("key") == {}


async def test_it_gives_up(flaky):
    """After max_retries the last error is raised, with a note of the attempts."""
    failing = flaky(MemoryStore(), *[down() for _ in range(9)])

    with pytest.raises(StoreConnectionError) as caught:
        await RetryWrapper(failing, max_retries=2, initial_delay=0).get("key")

    assert failing.calls == ["get"] * 3
    assert caught.value.__notes__ == ["after 3 attempts"]


@pytest.mark.faults(77)
@pytest.mark.parametrize("kind", [StoreAuthenticationError, InvalidKeyError, SerializationError, DecryptionError])
async def test_what_will_not_change_is_not_tried_again(backend, kind, flaky):
    """Errors that are not retryable are raised at once."""
    failing = flaky(backend(), kind("no"))

    with pytest.raises(kind):
        await RetryWrapper(failing, initial_delay=0).get("key")
    assert failing.calls == ["get"]


@pytest.mark.faults(79)
@pytest.mark.parametrize("name", ["increment", "put_if_absent"])
async def test_what_may_have_happened_is_not_repeated(backend, name, flaky):
    """After an unknown outcome, an operation that would count twice or refuse itself is not repeated."""
    store = backend()
    failing = flaky(store, down("unknown"))
    call = {
        "increment": lambda stack: stack.increment("key", initial=0),
        "put_if_absent": lambda stack: stack.put_if_absent("key", {"value": 1}),
    }[name]

    with pytest.raises(StoreConnectionError) as caught:
        await call(RetryWrapper(failing, initial_delay=0))

    assert caught.value.outcome == "unknown"
    assert failing.calls == [name]
    assert await store.get("key") == {"value": 1}


async def test_any_operation_is_repeated_that_surely_did_not_happen(flaky):
    """An increment that was not applied is made again, and counts once."""
    store = RetryWrapper(flaky(MemoryStore(), down()), initial_delay=0)

    assert await store.increment("key", initial=0) == 1


@pytest.mark.faults(78)
async def test_a_delete_whose_reply_was_lost_never_says_false(backend, flaky):
    """The repeated delete finds nothing, perhaps because the first one worked: the outcome is unknown."""
    store = backend()
    await store.put("key", {})

    with pytest.raises(StoreConnectionError) as caught:
        await RetryWrapper(flaky(store, down("unknown")), initial_delay=0).delete("key")
    assert caught.value.outcome == "unknown"

    await store.put("key", {})
    assert await RetryWrapper(flaky(store, down()), initial_delay=0).delete("key")


async def test_an_unknown_outcome_stays_unknown(flaky):
    """If an attempt may have been applied, a later one that surely was not does not make it so."""
    failing = flaky(MemoryStore(), down("unknown"), down(), down(), down())

    with pytest.raises(StoreConnectionError) as caught:
        await RetryWrapper(failing, initial_delay=0).put("key", {})
    assert caught.value.outcome == "unknown"


class Failing(BaseWrapper):
    """A store whose puts do, one after the other, what a test says."""

    def __init__(self, key_value, *steps):
        self.key_value = key_value
        self.steps = list(steps)

    async def put(self, key, value, *, collection=None, ttl=None):
        await self.steps.pop(0)()


@pytest.mark.faults(81)
async def test_the_budget_ends_an_attempt_after_one_that_was_lost(backend):
    """When time runs out as a later attempt has sent nothing, an earlier one may have been applied all the same."""

    async def lose():
        raise down("unknown")

    async def nothing_sent():
        error = TimeoutError()
        error.kv_unsent = True
        raise error

    for steps, outcome in (([lose, nothing_sent], "unknown"), ([nothing_sent], "not_applied")):
        with pytest.raises(StoreTimeoutError) as caught:
            await RetryWrapper(Failing(backend(), *steps), initial_delay=0).put("key", {})
        assert caught.value.outcome == outcome


@pytest.mark.faults(76, 81)
async def test_a_server_that_hangs_up_is_asked_as_often_as_said():
    """The driver does not try again by itself: the attempts are 1 + max_retries."""
    asked = []

    def serve(server):
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            asked.append(connection)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        try:
            url = f"redis://127.0.0.1:{server.getsockname()[1]}"
            async with RetryWrapper(RedisStore(url=url), max_retries=2, initial_delay=0) as store:
                with pytest.raises(StoreConnectionError) as caught:
                    await store.get("key")
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    assert caught.value.__notes__ == ["after 3 attempts"]
    assert len(asked) == 3


async def test_waits_grow_with_full_jitter(monkeypatch, flaky):
    """The n-th wait is a random share of initial_delay * exponential_base**n, at most max_delay."""
    waits = []

    async def note(seconds):
        waits.append(seconds)

    monkeypatch.setattr("kv_core.aio.wrappers.retry.sleep", note)
    failing = flaky(MemoryStore(), *[down() for _ in range(5)])

    store = RetryWrapper(failing, 5, 0.1, 0.5, 2.0, max_elapsed=60.0, _random=lambda: 0.5)
    await store.get("key")

    assert waits == [0.05, 0.1, 0.2, 0.25, 0.25]


async def test_it_does_not_wait_past_its_budget(flaky):
    """An attempt that could not begin within max_elapsed is not waited for."""
    failing = flaky(MemoryStore(), *[down() for _ in range(9)])
    store = RetryWrapper(failing, 9, initial_delay=30.0, max_delay=30.0, max_elapsed=5.0, _random=lambda: 1.0)

    with pytest.raises(StoreConnectionError):
        await store.get("key")
    assert failing.calls == ["get"]


@pytest.mark.faults(76)
@pytest.mark.parametrize("word", [b"SET", b"GET"])
async def test_a_dropped_connection_costs_one_attempt(own_redis, flaky, word):
    """A server that hangs up in the middle of an operation is asked again, once, on a new connection."""
    proxy = HangingUp(own_redis.host, own_redis.port, b"\r\n" + word + b"\r\n")
    counted = flaky(RedisStore(url=f"redis://127.0.0.1:{proxy.port}/0"))
    async with RetryWrapper(counted, initial_delay=0) as store:
        await store.put("key", {"n": 1})
        assert await store.get("key") == {"n": 1}
    proxy.close()

    assert counted.calls == (["put", "put", "get"] if word == b"SET" else ["put", "get", "get"])


@pytest.mark.faults(81, 143)
async def test_the_budget_ends_a_call_that_hangs(own_redis):
    """A server that is frozen costs max_elapsed in all, though each attempt might have taken longer."""
    async with RetryWrapper(TimeoutWrapper(RedisStore(url=own_redis.url), 5.0), max_elapsed=0.3) as store:
        await store.put("key", {})
        own_redis.freeze()

        with pytest.raises(StoreTimeoutError) as caught:
            await store.put("key", {"n": 2})
        assert caught.value.outcome == "unknown"

        own_redis.thaw()
        assert await store.get("key") in ({}, {"n": 2})


async def test_the_budget_holds_without_retries(own_redis):
    """A single attempt has no more time than many."""
    async with RetryWrapper(RedisStore(url=own_redis.url, timeout=20), max_retries=0, max_elapsed=0.3) as store:
        await store.put("key", {})
        own_redis.freeze()
        start = monotonic()
        try:
            with pytest.raises(StoreTimeoutError, match="'key' in 'users'") as caught:
                await store.get("key", collection="users")
        finally:
            own_redis.thaw()

    assert monotonic() - start < 10
    assert (caught.value.key, caught.value.collection) == ("key", "users")


async def test_retry_on_names_the_errors(flaky):
    """Only errors of the given types are repeated."""
    failing = flaky(MemoryStore(), down())

    with pytest.raises(StoreConnectionError):
        await RetryWrapper(failing, initial_delay=0, retry_on=(StoreTimeoutError,)).get("key")


@pytest.mark.faults(120)
@pytest.mark.parametrize(
    "options",
    [{"max_retries": -1}, {"max_retries": 1.5}, {"initial_delay": -1}, {"max_elapsed": 0}, {"exponential_base": 0.5}],
)
def test_options_are_checked(options):
    """An option out of range is refused at construction."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        RetryWrapper(MemoryStore(), **options)


def test_the_store_may_be_called_store():
    """`store=` is another name of `key_value=`; both at once is a TypeError."""
    store = MemoryStore()

    assert RetryWrapper(store=store).key_value is store
    with pytest.raises(TypeError, match="two names of one argument"):
        RetryWrapper(store=store, key_value=store)
