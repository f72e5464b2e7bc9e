"""Reads of what is missing raise, and everything else is as the store has it."""

import pytest

from kv_core.aio.adapters.raise_on_missing import RaiseOnMissingAdapter
from kv_core.aio.stores.memory import MemoryStore
from kv_core.errors import BaseKeyValueError, BatchLengthError, InvalidKeyError, MissingKeyError


@pytest.fixture
def adapter(store):
    """The adapter over each kind of store."""
    return RaiseOnMissingAdapter(store)


@pytest.mark.faults(28)
async def test_what_is_there_is_returned(adapter):
    """Values, {} among them, and their ttls."""
    await adapter.put("empty", {})
    await adapter.put_many(["a", "b"], [{"n": 1}, {"n": 2}], collection="users", ttl=[60, None])

    assert await adapter.get("empty") == {}
    assert await adapter.get_many(["b", "a", "b"], collection="users") == [{"n": 2}, {"n": 1}, {"n": 2}]
    assert await adapter.ttl("b", collection="users") == ({"n": 2}, None)
    value, left = (await adapter.ttl_many(["a"], collection="users"))[0]
    assert value == {"n": 1}
    assert 59 < left <= 60
    assert await adapter.get_many([]) == await adapter.ttl_many([]) == []


async def test_what_is_missing_raises(adapter):
    """The error is a KeyError, names every key that is missing, and says where."""
    await adapter.put("there", {"canary": 1})

    for read in (adapter.get, adapter.ttl):
        with pytest.raises(MissingKeyError, match="no entry 'none' in the default collection") as caught:
            await read("none")
        assert isinstance(caught.value, KeyError)
        assert (caught.value.key, caught.value.collection, caught.value.retryable) == ("none", None, False)
        assert str(caught.value) == "There is no entry 'none' in the default collection."
    for read in (adapter.get_many, adapter.ttl_many):
        with pytest.raises(MissingKeyError, match="no entries 'x', 'y' in the default collection"):
            await read(["x", "there", "y"])
        with pytest.raises(MissingKeyError, match="in 'users'"):
            await read(["there"], collection="users")


async def test_it_can_be_told_not_to(adapter):
    """With raise_on_missing=False a call answers as the store does."""
    await adapter.put("there", {"n": 1})

    assert await adapter.get("none", raise_on_missing=False) is None
    assert await adapter.get_many(["none", "there"], raise_on_missing=False) == [None, {"n": 1}]
    assert await adapter.ttl("none", raise_on_missing=False) == (None, None)
    assert await adapter.ttl_many(["none", "there"], raise_on_missing=False) == [(None, None), ({"n": 1}, None)]


async def test_deleting_what_is_missing_does_not_raise(adapter):
    """Writes and deletions answer as the store does."""
    await adapter.put_many(["a", "b"], [{}, {}])

    assert await adapter.delete("a") is True
    assert await adapter.delete("a") is False
    assert await adapter.delete_many(["a", "b", "b"]) == 1


async def test_an_expired_entry_is_missing():
    """What has ended raises as what never was."""
    adapter = RaiseOnMissingAdapter(MemoryStore())
    await adapter.put("key", {}, ttl=1e-9)

    with pytest.raises(MissingKeyError):
        await adapter.get("key")


async def test_errors_are_the_stores(adapter):
    """What is wrong with a call is refused as by the store."""
    for bad in ("abc", [1], iter(["a"])):
        with pytest.raises(InvalidKeyError):
            await adapter.get_many(bad)
        with pytest.raises(InvalidKeyError):
            await adapter.ttl_many(bad)
    with pytest.raises(BatchLengthError):
        await adapter.put_many(["a"], [])
    with pytest.raises(BaseKeyValueError):
        await adapter.put("a", {}, ttl=-1)
