"""A backend that is down is left alone for a while."""

import pytest

from kv_core.aio._runtime import within
from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.stores.redis import RedisStore
from kv_core.aio.testing import StoreContract, ToldClock
from kv_core.aio.wrappers._calls import Call, CallWrapper
from kv_core.aio.wrappers.circuit_breaker import CircuitBreakerWrapper
from kv_core.aio.wrappers.retry import RetryWrapper
from kv_core.aio.wrappers.timeout import TimeoutWrapper
from kv_core.errors import (
    BaseKeyValueError,
    CircuitOpenError,
    ConfigurationError,
    CorruptEntryError,
    MissingKeyError,
    PartialFailureError,
    StoreAuthenticationError,
    StoreConnectionError,
    StoreTimeoutError,
)


class Interrupt(BaseException):
    """Something that is no error, as a cancellation or Ctrl-C."""


class Switch(CallWrapper):
    """A store that raises what the test says, and lets the test do something during a call."""

    def __init__(self, key_value):
        self.key_value = key_value
        self.error = None
        self.calls = []
        self.during = None

    async def _around(self, call: Call):
        self.calls.append(call.name)
        error = self.error
        if self.during is not None:
            during, self.during = self.during, None
            await during()
        if error is not None:
            raise error
        return await call(self.key_value)


@pytest.fixture
def clock():
    return ToldClock()


@pytest.fixture
def inside(backend):
    return Switch(backend())


@pytest.fixture
def store(inside, clock):
    return CircuitBreakerWrapper(inside, failure_threshold=3, reset_timeout=10, _clock=clock)


async def fail(store, times):
    for _ in range(times):
        with pytest.raises((StoreConnectionError, StoreTimeoutError)):
            await store.get("key")


class TestCircuitBreakerWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: CircuitBreakerWrapper(inner())


async def test_it_opens_and_probes(store, inside, clock):
    """After failures in a row nothing is sent; after reset_timeout one call shows that the store is back."""
    inside.error = StoreConnectionError("down")
    await fail(store, 2)
    assert store.state == "closed"
    await fail(store, 1)
    assert store.state == "open"
    inside.calls.clear()

    with pytest.raises(CircuitOpenError, match="put of 'key' in 'users' was not made") as caught:
        await store.put("key", {"n": "canary"}, collection="users")
    assert inside.calls == []
    assert caught.value.key == "key"
    assert (caught.value.outcome, caught.value.retryable, caught.value.collection) == ("not_applied", True, "users")
    assert isinstance(caught.value, StoreConnectionError)
    assert "canary" not in str(caught.value)

    await clock.advance(10)
    assert store.state == "half-open"
    await fail(store, 1)
    assert store.state == "open"
    await clock.advance(10)
    inside.error = None
    assert await store.get("key") is None
    assert store.state == "closed"
    assert inside.calls == ["get", "get"]


@pytest.mark.faults(75)
@pytest.mark.parametrize("ends", [None, StoreConnectionError("down"), Interrupt(), CorruptEntryError("corrupt")])
async def test_one_probe_at_a_time(store, inside, clock, ends):
    """While the probe is out every other call is refused, however it ends."""
    inside.error = StoreConnectionError("down")
    await fail(store, 3)
    await clock.advance(10)
    inside.error = ends
    inside.calls.clear()
    refused = []

    async def during():
        for call in (lambda: store.get("key"), lambda: store.put("key", {}), lambda: store.keys(limit=1)):
            try:
                await call()
            except CircuitOpenError as error:
                refused.append(error)

    inside.during = during
    if ends is None:
        await store.get("key")
    else:
        with pytest.raises(type(ends)):
            await store.get("key")

    assert len(refused) == 3
    assert inside.calls == ["get"]
    expected = {type(None): "closed", StoreConnectionError: "open", Interrupt: "half-open", CorruptEntryError: "closed"}
    assert store.state == expected[type(ends)]


@pytest.mark.parametrize(
    "error", [StoreAuthenticationError("no"), CorruptEntryError("no"), MissingKeyError("no"), TypeError("no")]
)
async def test_other_errors_show_that_the_store_answers(store, inside, error):
    """They pass, open nothing, and end a row of failures."""
    inside.error = StoreConnectionError("down")
    await fail(store, 2)
    inside.error = error
    for _ in range(5):
        with pytest.raises(type(error)):
            await store.get("key")
    inside.error = StoreTimeoutError("late")
    await fail(store, 2)
    assert store.state == "closed"


REFUSED = [
    lambda store: store.get(1),
    lambda store: store.put("key", {"n": float("nan")}),
    lambda store: store.put("key", {}, ttl=0),
    lambda store: store.put_many(["key"], []),
    lambda store: store.put_if_unchanged("key", {}, "no revision"),
    lambda store: store.increment("key", 1.5),
    lambda store: store.increment("key", 2**63),
    lambda store: store.get("key", collection=""),
    lambda store: store.keys(limit=-1),
]


@pytest.mark.parametrize("call", REFUSED)
async def test_what_is_refused_before_the_store_is_asked_tells_nothing(store, inside, clock, call):
    """It ends no row of failures, and is no probe that closes the breaker."""
    inside.error = StoreConnectionError("down")
    await fail(store, 2)
    inside.error = None
    with pytest.raises(BaseKeyValueError):
        await call(store)
    inside.error = StoreConnectionError("down")
    await fail(store, 1)
    assert store.state == "open"

    await clock.advance(10)
    inside.error = None
    with pytest.raises(BaseKeyValueError):
        await call(store)
    assert store.state == "half-open"
    await store.get("key")
    assert store.state == "closed"


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.get_many([]),
        lambda store: store.ttl_many([]),
        lambda store: store.put_many([], []),
        lambda store: store.delete_many([]),
    ],
)
async def test_a_bulk_without_keys_tells_nothing(store, inside, clock, call):
    """No store is asked for it, so it shows nothing of the backend."""
    inside.error = StoreConnectionError("down")
    await fail(store, 3)
    await clock.advance(10)
    inside.error = None

    await call(store)
    assert store.state == "half-open"


async def test_a_bulk_that_failed_altogether_is_a_failure(store, inside):
    """A bulk in which every key met an outage counts; one in which some succeeded does not."""
    down = {"a": StoreConnectionError("down"), "b": StoreTimeoutError("late")}
    for error, state in (
        (PartialFailureError("some", failed=down, succeeded=["c"]), "closed"),
        (PartialFailureError("all", failed=down | {"c": CorruptEntryError("no")}), "closed"),
        (PartialFailureError("all", failed=down), "open"),
    ):
        inside.error = error
        for _ in range(3):
            with pytest.raises(PartialFailureError):
                await store.put_many(["a", "b", "c"], [{}] * 3)
        assert store.state == state


@pytest.mark.faults(143)
async def test_a_timeout_outside_opens_it(own_redis):
    """Calls to a frozen server that a deadline further out ended are failures, too."""
    breaker = CircuitBreakerWrapper(RedisStore(url=own_redis.url), failure_threshold=2)
    async with TimeoutWrapper(breaker, 0.05) as store:
        await store.put("key", {})
        own_redis.freeze()
        try:
            for _ in range(2):
                with pytest.raises(StoreTimeoutError):
                    await store.get("key")
            assert breaker.state == "open"
        finally:
            own_redis.thaw()


async def test_an_interrupted_call_tells_nothing(store, inside):
    """A call that was cancelled in time is neither a failure nor a success."""
    inside.error = StoreConnectionError("down")
    await fail(store, 2)
    inside.error = Interrupt()
    for _ in range(5):
        with pytest.raises(Interrupt):
            await within(60, store.get, "key")
        with pytest.raises(Interrupt):
            await store.get("key")
    assert store.state == "closed"
    inside.error = StoreConnectionError("down")
    await fail(store, 1)
    assert store.state == "open"


async def test_a_retry_outside_stops_asking(store, inside):
    """Under a retry an open breaker refuses the attempts, and the store is asked no more than the threshold."""
    inside.error = StoreConnectionError("down")
    with pytest.raises(CircuitOpenError):
        await RetryWrapper(store, max_retries=9, initial_delay=0).get("key")
    assert len(inside.calls) == 3


@pytest.mark.faults(120)
@pytest.mark.parametrize(
    "options", [{"failure_threshold": 0}, {"failure_threshold": 1.5}, {"reset_timeout": 0}, {"reset_timeout": "5"}]
)
def test_options_are_checked(options):
    """An option out of range is refused at construction."""
    with pytest.raises(ConfigurationError, match="CircuitBreakerWrapper"):
        CircuitBreakerWrapper(MemoryStore(), **options)
