# Written by tools/mirror.py from tests/aio/adapters/test_raise_on_missing.py: change that file instead.
"""Reads of what is missing raise, and everything else is as the store has it."""

import pytest

from kv_core.errors import BaseKeyValueError, BatchLengthError, InvalidKeyError, MissingKeyError
from kv_core.sync.adapters.raise_on_missing import RaiseOnMissingAdapter
from kv_core.sync.stores.memory import MemoryStore


@pytest.fixture
def adapter(store):
    """The adapter over each kind of store."""
    return RaiseOnMissingAdapter(store)


@pytest.mark.faults(28)
def test_what_is_there_is_returned(adapter):
    """Values, {} among them, and their ttls."""
    adapter.put("empty", {})
    adapter.put_many(["a", "b"], [{"n": 1}, {"n": 2}], collection="users", ttl=[60, None])

    assert adapter.get("empty") == {}
    assert adapter.get_many(["b", "a", "b"], collection="users") == [{"n": 2}, {"n": 1}, {"n": 2}]
    assert adapter.ttl("b", collection="users") == ({"n": 2}, None)
    value, left = (adapter.ttl_many(["a"], collection="users"))[0]
    assert value == {"n": 1}
    assert 59 < left <= 60
    assert adapter.get_many([]) == adapter.ttl_many([]) == []


def test_what_is_missing_raises(adapter):
    """The error is a KeyError, names every key that is missing, and says where."""
    adapter.put("there", {"canary": 1})

    for read in (adapter.get, adapter.ttl):
        with pytest.raises(MissingKeyError, match="no entry 'none' in the default collection") as caught:
            read("none")
        assert isinstance(caught.value, KeyError)
        assert (caught.value.key, caught.value.collection, caught.value.retryable) == ("none", None, False)
        assert str(caught.value) == "There is no entry 'none' in the default collection."
    for read in (adapter.get_many, adapter.ttl_many):
        with pytest.raises(MissingKeyError, match="no entries 'x', 'y' in the default collection"):
            read(["x", "there", "y"])
        with pytest.raises(MissingKeyError, match="in 'users'"):
            read(["there"], collection="users")


def test_it_can_be_told_not_to(adapter):
    """With raise_on_missing=False a call answers as the store does."""
    adapter.put("there", {"n": 1})

    assert adapter.get("none", raise_on_missing=False) is None
    assert adapter.get_many(["none", "there"], raise_on_missing=False) == [None, {"n": 1}]
    assert adapter.ttl("none", raise_on_missing=False) == (None, None)
    assert adapter.ttl_many(["none", "there"], raise_on_missing=False) == [(None, None), ({"n": 1}, None)]


def test_deleting_what_is_missing_does_not_raise(adapter):
    """Writes and deletions answer as the store does."""
    adapter.put_many(["a", "b"], [{}, {}])

    assert adapter.delete("a") is True
    assert adapter.delete("a") is False
    assert adapter.delete_many(["a", "b", "b"]) == 1


def test_an_expired_entry_is_missing():
    """What has ended raises as what never was."""
    adapter = RaiseOnMissingAdapter(MemoryStore())
    adapter.put("key", {}, ttl=1e-9)

    with pytest.raises(MissingKeyError):
        adapter.get("key")


def test_errors_are_the_stores(adapter):
    """What is wrong with a call is refused as by the store."""
    for bad in ("abc", [1], iter(["a"])):
        with pytest.raises(InvalidKeyError):
            adapter.get_many(bad)
        with pytest.raises(InvalidKeyError):
            adapter.ttl_many(bad)
    with pytest.raises(BatchLengthError):
        adapter.put_many(["a"], [])
    with pytest.raises(BaseKeyValueError):
        adapter.put("a", {}, ttl=-1)
