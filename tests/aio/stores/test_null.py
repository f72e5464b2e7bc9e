"""NullStore keeps nothing, refuses what others refuse, and has no operation that would have to remember."""

import pytest

from kv_core.aio.protocols import AsyncConditionalPut, AsyncEnumerate, AsyncIncrement, AsyncRevisions, AsyncTouch
from kv_core.aio.recipes.session_record import SessionRecords
from kv_core.aio.stores.null import NullStore
from kv_core.aio.testing._common import KEYED, call
from kv_core.capabilities import ALL, BASIC, capabilities, require
from kv_core.errors import (
    ConfigurationError,
    EntryTooLargeError,
    InvalidCollectionError,
    InvalidKeyError,
    InvalidTTLError,
    SerializationError,
    StoreClosedError,
    UnsupportedOperationError,
)


@pytest.fixture
async def store():
    """A store that keeps nothing."""
    async with NullStore() as store:
        yield store


async def test_nothing_is_kept(store):
    """What was put is a miss for every read, and there is nothing to delete, list or destroy."""
    await store.put("key", {"n": 1}, ttl=60)
    await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], collection="users")

    assert await store.get("key") is None
    assert await store.get_many(["key", "absent"]) == [None, None]
    assert await store.ttl("key") == (None, None)
    assert await store.ttl_many(["key", "absent"]) == [(None, None)] * 2
    assert await store.delete("key") is False
    assert await store.delete_many(["a", "b"], collection="users") == 0
    assert await store.keys("users") == []
    assert [key async for key in store.iter_keys("users")] == []
    assert await store.collections() == []
    assert await store.destroy_collection("users") is False
    assert await store.destroy() is False
    assert await store.cull() == 0
    assert await store.ping() >= 0


async def test_what_would_have_to_remember_is_withdrawn(store):
    """A lock that everybody gets is none: conditional forms raise, and capabilities do not name them."""
    missing = ALL - capabilities(store)

    assert missing == {
        *("put_if_absent", "put_if_present", "get_with_revision", "put_if_unchanged", "delete_if_unchanged"),
        *("touch", "increment"),
    }
    for operation in missing:
        with pytest.raises(UnsupportedOperationError, match="NullStore"):
            await call(store, operation)
    for segment in (AsyncConditionalPut, AsyncRevisions, AsyncTouch, AsyncIncrement):
        with pytest.raises(UnsupportedOperationError, match="NullStore"):
            require(store, segment)
    assert require(store, AsyncEnumerate) is store


def test_sessions_are_refused():
    """What needs a memory cannot be built on it."""
    with pytest.raises(UnsupportedOperationError, match="NullStore"):
        SessionRecords(NullStore())


@pytest.mark.faults(8, 18, 29, 49)
async def test_what_others_refuse_is_refused(store):
    """Keys, collections, values, ttls and sizes are checked as everywhere, so that a mistake is not hidden."""
    for operation in set(KEYED) & BASIC:
        with pytest.raises(InvalidKeyError):
            await call(store, operation, "\ud800")
        with pytest.raises(InvalidCollectionError):
            await call(store, operation, collection="")
    for value in ([], {"n": float("nan")}, {1: 2}):
        with pytest.raises(SerializationError):
            await store.put("key", value)
    with pytest.raises(InvalidTTLError):
        await store.put("key", {}, ttl=0)
    with pytest.raises(EntryTooLargeError):
        await NullStore(max_entry_size=10).put("key", {"text": "x" * 100})


@pytest.mark.faults(134)
async def test_closed_is_closed(store):
    """After close operations say so; closing twice is closing once."""
    await store.close()
    await store.close()

    with pytest.raises(StoreClosedError):
        await store.get("key")


@pytest.mark.faults(120)
def test_wrong_options():
    """What cannot work is refused when the store is made."""
    with pytest.raises(ConfigurationError):
        NullStore(timeout=0)
