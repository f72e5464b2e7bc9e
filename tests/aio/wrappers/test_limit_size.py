"""Values are kept within a size, whatever carries them."""

import logging

import pytest

from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.compression import CompressionWrapper
from kv_core.aio.wrappers.limit_size import LimitSizeWrapper
from kv_core.capabilities import OPERATIONS, capabilities
from kv_core.errors import (
    ConfigurationError,
    EntryTooLargeError,
    EntryTooSmallError,
    InvalidKeyError,
    InvalidTTLError,
    StoreConnectionError,
    UnsupportedOperationError,
)

CARRIES_A_VALUE = [name for name, operation in OPERATIONS.items() if operation.writes_value]


class TestLimitSizeWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: LimitSizeWrapper(inner(), max_size=200_000_000)


@pytest.fixture
async def store(backend):
    """A store with what the operations of the list need."""
    store = backend()
    await store.put("there", {"old": True})
    await store.put("counter", {"value": 1})
    return store


async def ready(stack, store):
    stack.revision = (await store.get_with_revision("there"))[1]
    return stack


@pytest.mark.parametrize("name", CARRIES_A_VALUE)
@pytest.mark.parametrize("limit", [{"max_size": 6}, {"min_size": 30, "raise_on_too_small": True}], ids=["max", "min"])
async def test_every_operation_with_a_value_is_limited(name, limit, store, write):
    """None of the list lets a value past the limits, and what is there stays."""
    stack = await ready(LimitSizeWrapper(store, **limit), store)

    with pytest.raises((EntryTooLargeError, EntryTooSmallError, UnsupportedOperationError)):
        await write(name, stack)
    assert await store.get_many(["there", "counter", "key"]) == [{"old": True}, {"value": 1}, None]
    assert ("increment" in capabilities(stack)) is False


@pytest.mark.parametrize("name", CARRIES_A_VALUE)
async def test_every_operation_with_a_value_passes_within_the_limits(name, store, write):
    """What fits is made as it came."""
    stack = await ready(LimitSizeWrapper(store, max_size=30, min_size=7, raise_on_too_small=True), store)

    await write(name, stack)

    assert await store.get("counter") == {"value": 2 if name == "increment" else 1}
    if name != "increment":
        assert {"n": 1} in await store.get_many(["key", "there"])


@pytest.mark.faults(89)
@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({}, 2),
        ({"n": 1}, 7),
        ({"n": "é"}, 10),
        ({"n": "\u2028🗝"}, 15),
        ({"n": '"\n'}, 12),
        ({"n": [1.5, None, True]}, 21),
        ({"raw": b"\0" * 10}, 17),
    ],
)
async def test_the_limits_are_exact(store, value, size):
    """Values count as JSON in UTF-8, or as MessagePack if they hold bytes, to the byte."""
    options = {"raise_on_too_small": True}
    await LimitSizeWrapper(store, max_size=size, min_size=size, **options).put("key", value)

    assert await store.get("key") == value
    with pytest.raises(EntryTooLargeError, match=f"'key' is {size}"):
        await LimitSizeWrapper(store, max_size=size - 1).put("key", {**value})
    with pytest.raises(EntryTooSmallError, match=f"'key' is {size}"):
        await LimitSizeWrapper(store, min_size=size + 1, **options).put("key", value)
    assert issubclass(EntryTooLargeError, ValueError)


@pytest.mark.faults(89)
async def test_a_value_counts_as_it_is_at_this_place(store):
    """Outside a compression the limit is for the value itself, inside for what is left of it."""
    value = {"text": "x" * 10_000}
    await CompressionWrapper(LimitSizeWrapper(store, max_size=500)).put("inside", value)

    assert await store.get("inside") is not None
    with pytest.raises(EntryTooLargeError):
        await LimitSizeWrapper(CompressionWrapper(store), max_size=500).put("outside", value)


@pytest.mark.faults(88)
async def test_told_not_to_raise_it_keeps_no_stale_value(store, caplog):
    """With raise_on_too_large=False the old value goes, too, so nobody reads what is no longer true; a log says so."""
    stack = LimitSizeWrapper(store, max_size=30, raise_on_too_large=False)
    large = {"canary": "x" * 30}
    await store.put_many(["a", "b", "c", "d"], [{"old": True}] * 4)
    found = await stack.get_with_revision("d")

    with caplog.at_level(logging.WARNING, logger="kv_core"):
        await stack.put("a", large)
        await stack.put_many(["b", "new", "last", "last"], [large, {"n": 1}, large, {"n": 2}])
        assert await stack.put_if_present("c", large) is False
        assert await stack.put_if_unchanged("d", large, found[1]) is False
        assert await stack.put_if_absent("there", large) is False
        assert await stack.put_if_absent("e", large) is False

    assert await store.get_many(["a", "b", "c", "d", "e"]) == [None] * 5
    assert await store.get_many(["new", "last", "there"]) == [{"n": 1}, {"n": 2}, {"old": True}]
    assert len(caplog.records) == 6
    assert "canary" not in caplog.text
    assert "'a' is " in caplog.records[0].getMessage()


async def test_a_stale_revision_deletes_nothing(store):
    """put_if_unchanged of what does not fit takes the old value away only if it is unchanged."""
    stack = LimitSizeWrapper(store, max_size=15, raise_on_too_large=False)
    found = await stack.get_with_revision("there")
    await stack.put("there", {"n": 2})

    assert await stack.put_if_unchanged("there", {"text": "x" * 30}, found[1]) is False
    assert await store.get("there") == {"n": 2}


async def test_a_wrong_call_deletes_nothing(store):
    """A key or ttl that is wrong is refused before a value that is too large takes the old one away."""
    stack = LimitSizeWrapper(store, max_size=15, raise_on_too_large=False)
    large = {"text": "x" * 30}

    for ttl in (-1, 0, "5", float("nan")):
        with pytest.raises(InvalidTTLError):
            await stack.put("there", large, ttl=ttl)
        with pytest.raises(InvalidTTLError):
            await stack.put_many(["there"], [large], ttl=ttl)
        with pytest.raises(InvalidTTLError):
            await stack.put_if_present("there", large, ttl=ttl)
    with pytest.raises(InvalidKeyError):
        await stack.put(7, large)
    assert await store.get("there") == {"old": True}


async def test_a_bulk_write_that_deleted_tells_so(flaky):
    """When a refused value's old one was deleted and the rest then fails, the outcome is unknown."""

    class Full(flaky):
        async def put_many(self, keys, values, *, collection=None, ttl=None):
            raise StoreConnectionError("down")

    stack = LimitSizeWrapper(Full(MemoryStore()), max_size=15, raise_on_too_large=False)
    with pytest.raises(StoreConnectionError) as caught:
        await stack.put_many(["a", "b"], [{"n": 1}, {"text": "x" * 30}])
    assert caught.value.outcome == "unknown"
    with pytest.raises(StoreConnectionError) as caught:
        await stack.put_many(["a"], [{"n": 1}])
    assert caught.value.outcome == "not_applied"


@pytest.mark.faults(120)
@pytest.mark.parametrize(
    "options", [{"max_size": 0}, {"max_size": -1}, {"min_size": -1}, {"max_size": 1.5}, {"max_size": 5, "min_size": 6}]
)
def test_options_are_checked(options):
    """A limit out of range is refused at construction."""
    with pytest.raises(ConfigurationError):
        LimitSizeWrapper(MemoryStore(), **options)
